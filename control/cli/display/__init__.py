"""Output of the command, to a terminal or a pipe."""
