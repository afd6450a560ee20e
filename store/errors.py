"""What can go wrong with models on disk: the store's own tree of errors.

`str()` is a sentence for the user; `hint` says what to do next where the sentence does not.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


class StoreError(Exception):
    """Every failure of the store is one of these."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class InvalidName(StoreError):
    """A text that can never be a model's name."""


class UnknownModel(StoreError):
    """A well-formed name that nothing here carries; `suggestions` are near names, best first."""

    def __init__(self, name: str, suggestions: Sequence[str] = (), *, hint: str | None = None) -> None:
        near = f"; did you mean {' or '.join(suggestions)}?" if suggestions else ""
        super().__init__(f"model {name!r} not found{near}", hint=hint)
        self.name = name
        self.suggestions = tuple(suggestions)


class AmbiguousName(StoreError):
    """A short name that several owners share; `candidates` are the full names."""

    def __init__(self, name: str, candidates: Sequence[str]) -> None:
        super().__init__(
            f"{name!r} could be {' or '.join(candidates)}", hint="use one of these full names instead of the short one"
        )
        self.name = name
        self.candidates = tuple(candidates)


class UnsupportedModel(StoreError):
    """The files are what they claim to be, but this version does not serve them."""


class DamagedModel(StoreError):
    """Files of an installed or offered model are missing, cut short or not what they must be."""


class SourceError(StoreError):
    """The place to pull from is not there, cannot be read, or holds no model."""


class HubError(SourceError):
    """What a Hugging Face hub, or the line to it, did not give."""


class RepositoryNotFound(HubError):
    """No such repository, revision or file, or none that this user may see."""


class AccessDenied(HubError):
    """The hub knows what is wanted and does not give it to this user: terms to accept, a token missing or refused."""


class RateLimited(HubError):
    """The hub asks for a pause that is longer than a pull waits; `until` in unix seconds where it said so."""

    def __init__(self, message: str, *, hint: str | None = None, until: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.until = until

    @property
    def retry_after(self) -> int:
        """Whole seconds from now."""
        return 60 if self.until is None else max(1, round(self.until - time.time()))


class HubUnreachable(HubError):
    """No answer that could be used: no network, a hub in trouble, or told to stay offline."""


class HubChanged(HubError):
    """What came is not what was listed: another commit, another size, a file that is gone."""


class WrongContent(HubError):
    """A file came whole, but its digest is not the one that the hub states."""


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
    """The store can be read and served from, not changed."""

    def __init__(self) -> None:
        super().__init__(
            "the model store is read-only; models can be served but not pulled, copied or removed",
            hint="make the folder writable, or set MLX_SERVE_MODELS_DIR to another one",
        )


class StoreVersion(StoreError):
    """The folder was written by a version of the store that this one does not know."""


class StoreBusy(StoreError):
    """Another process or thread holds the store for longer than the caller wanted to wait."""


def size_text(size: int) -> str:
    """Bytes as people say them, in decimal units: 512 B, 1.4 GB."""
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
    """Turn what the operating system says into the store's errors; `action` completes "could not …".

    `full` looks at the disk when there is no space left.
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
