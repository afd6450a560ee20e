"""What goes wrong with a service, as a sentence for the user."""

from __future__ import annotations


class ServiceError(Exception):
    """`str()` says what happened, `hint` what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class FileChanged(ServiceError):
    """The file is not as we wrote it; `difference` goes from it to what we would write, as `diff -u` prints it."""

    def __init__(self, message: str, difference: str) -> None:
        super().__init__(message)
        self.difference = difference
