"""The store's tree of errors.

`str()` is a sentence for the user; `hint` says what to do where the sentence does not.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


class StoreError(Exception):
    """The root of the tree."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def with_hint(message: str, hint: str | None) -> str:
    """Both in one sentence, or in two where the first one is a question."""
    if not hint:
        return message
    return f"{message} {hint}" if message.endswith("?") else f"{message}; {hint}"


class InvalidName(StoreError):
    """A text that is not a valid model name."""


class UnknownModel(StoreError):
    """A valid name of no installed model; `suggestions` are similar names, best first."""

    def __init__(self, name: str, suggestions: Sequence[str] = (), *, hint: str | None = None) -> None:
        near = f"; did you mean {' or '.join(suggestions)}?" if suggestions else ""
        super().__init__(f"model {name!r} not found{near}", hint=hint)
        self.name = name
        self.suggestions = tuple(suggestions)


class AmbiguousName(StoreError):
    """A short name that several owners share; `candidates` are the full names."""

    def __init__(self, name: str, candidates: Sequence[str]) -> None:
        super().__init__(
            f"{name!r} is ambiguous: it could be {' or '.join(candidates)}", hint="use one of these full names"
        )
        self.name = name
        self.candidates = tuple(candidates)


class UnsupportedModel(StoreError):
    """The files are valid, but this version does not support the model."""


class DamagedModel(StoreError):
    """Files of a model are missing, truncated or invalid."""


class SourceError(StoreError):
    """The source of a pull does not exist, cannot be read, or is not a model."""


class HubError(SourceError):
    """A failure of a Hugging Face hub or of the connection to it."""


class RepositoryNotFound(HubError):
    """No such repository, revision or file, or no access to it."""


class AccessDenied(HubError):
    """The hub refuses access: terms not accepted, a token missing or not accepted."""


class RateLimited(HubError):
    """The hub's rate limit needs a longer pause than a pull makes; `until` in Unix seconds where it is stated."""

    def __init__(self, message: str, *, hint: str | None = None, until: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.until = until

    @property
    def retry_after(self) -> int:
        """Whole seconds from now."""
        return 60 if self.until is None else max(1, round(self.until - time.time()))


class HubUnreachable(HubError):
    """No usable response: no network, an error of the hub, or HF_HUB_OFFLINE is set."""


class HubChanged(HubError):
    """The hub returned something other than it listed: another commit, another size, a missing file."""


class WrongContent(HubError):
    """A downloaded file does not have the digest that the hub states."""


class NoSpace(StoreError):
    """The disk is full, or would be. `needed` and `have` in bytes (`needed` None: unknown).

    `files`: how many more the disk can hold; None where it has no such limit.
    """

    def __init__(self, needed: int | None, have: int, files: int | None = None) -> None:
        if files == 0:
            wanted = f"the disk has no inodes left and can hold no more files ({size_text(have)} are free)"
        elif needed is not None:
            wanted = f"needed {size_text(needed)}, have {size_text(have)}"
        else:
            wanted = f"{size_text(have)} left"
        super().__init__(
            f"no space left for the model: {wanted}",
            hint="remove a model, run `mlx-serve gc`, or set MLX_SERVE_MODELS_DIR to a larger disk",
        )
        self.needed = needed
        self.have = have


class ReadOnlyStore(StoreError):
    """The store cannot be changed, only read."""

    def __init__(self) -> None:
        super().__init__(
            "the model store is read-only; models can be served but not pulled, copied or removed",
            hint="make the folder writable, or set MLX_SERVE_MODELS_DIR to another folder",
        )


class StoreVersion(StoreError):
    """The folder has a store version that this program does not support."""


class StoreBusy(StoreError):
    """Another process or thread holds the store's lock for longer than the caller waits."""


def size_text(size: int) -> str:
    """Bytes in decimal units: 512 B, 1.4 GB."""
    if size < 1000:
        return f"{size} B"
    number = float(size)
    for unit in ("kB", "MB", "GB"):
        number /= 1000
        if number < 999.95:
            return f"{number:.1f} {unit}"
    return f"{number / 1000:.1f} TB"


@contextmanager
def translated(action: str, full: Callable[[], NoSpace]) -> Iterator[None]:
    """Turn an OSError into one of the store's errors; `action` completes "could not …".

    `full` makes the error for a full disk, and is called only then.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full() from error
        if error.errno == errno.EROFS:
            raise ReadOnlyStore from error
        reason = error.strerror or type(error).__name__
        code = errno.errorcode.get(error.errno or 0, "")
        raise StoreError(f"could not {action}: {reason}{f' ({code})' if code else ''}") from error
