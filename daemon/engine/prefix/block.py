"""What is kept of one run of tokens: a whole block, or the end of a sequence."""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx

from .chain import BYTES
from .layers import Parts, Snapshots, arrays, columns, width

_OWN = 1024  # bytes of Python's objects around a block, about


@dataclass(frozen=True)
class Size:
    """Of what is kept: its bytes, and in how many of the device's buffers they are."""

    nbytes: int = 0
    buffers: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(self.nbytes + other.nbytes, self.buffers + other.buffers)

    def __sub__(self, other: Size) -> Size:
        return Size(self.nbytes - other.nbytes, self.buffers - other.buffers)


def size_of(held: list[mx.array], page: int = 1) -> Size:
    """Where memory comes in whole pages of so many bytes."""
    return Size(sum(-(-array.nbytes // page) * page for array in held), len(held))


class Block:
    """`tokens`, packed, follow those of block `parent`. Their columns are those from `place` on of `run`, which several
    neighbours may share. `snapshots`: the other layers after the last of them, where that is known. `stored`: it is in
    a file as it is, or on its way there."""

    def __init__(
        self,
        name: bytes,
        parent: bytes,
        tokens: bytes,
        run: Parts,
        snapshots: Snapshots | None,
        place: int = 0,
    ) -> None:
        self.name = name
        self.parent = parent
        self.tokens = tokens
        self.run = run
        self.snapshots = snapshots
        self.place = place
        self.stored = False

    def __len__(self) -> int:
        """Tokens."""
        return len(self.tokens) // BYTES

    def beginning(self, count: int) -> bytes:
        """Its first tokens, packed."""
        return self.tokens[: count * BYTES]

    @property
    def parts(self) -> Parts:
        """Its columns."""
        return columns(self.run, self.place, self.place + len(self))

    @property
    def nbytes(self) -> int:
        """What it would take by itself."""
        return size_of(arrays(self.run)).nbytes * len(self) // max(width(self.run), 1) + self.own().nbytes

    def own(self, page: int = 1) -> Size:
        """Of what it does not share."""
        return size_of(arrays((), self.snapshots or ()), page) + Size(len(self.tokens) + _OWN)

    def arrays(self) -> list[mx.array]:
        return arrays(self.parts, self.snapshots or ())
