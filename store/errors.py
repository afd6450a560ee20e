"""What can go wrong with models on disk: the store's own tree of errors.

`str()` is a sentence for the user; `hint` says what to do next where the sentence does not.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
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


class NoSpace(StoreError):
    """The disk is full, or would be. `needed` and `have` in bytes (`needed` None: unknown)."""

    def __init__(self, needed: int | None, have: int) -> None:
        wanted = (
            f"needed {size_text(needed)}, have {size_text(have)}" if needed is not None else f"{size_text(have)} left"
        )
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
def translated(action: str, free: int = 0) -> Iterator[None]:
    """Turn what the operating system says into the store's errors; `action` completes "could not …"."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(None, free) from error
        if error.errno == errno.EROFS:
            raise ReadOnlyStore from error
        reason = error.strerror or type(error).__name__
        code = errno.errorcode.get(error.errno or 0, "")
        raise StoreError(f"could not {action}: {reason}{f' ({code})' if code else ''}") from error
