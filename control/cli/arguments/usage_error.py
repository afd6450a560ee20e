"""The one error of what a user wrote on the command line, or into an environment variable."""

from __future__ import annotations


class UsageError(Exception):
    """The command line or an environment variable is invalid; exit status 2."""
