"""The parent's side of a child process."""
