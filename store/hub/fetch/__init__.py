"""Downloads files of a repository: in pieces, resumable, verified."""
