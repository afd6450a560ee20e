"""Fetches files of a repository: in pieces, resumed, verified."""
