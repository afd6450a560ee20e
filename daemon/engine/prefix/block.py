"""What is kept of one run of tokens: a whole block, or the end of a sequence."""

from __future__ import annotations

import mlx.core as mx

from .layers import Parts, Snapshots, arrays

BYTES = 4  # of a packed token
_OWN = 1024  # bytes of Python's objects around a block, about


class Block:
    """`tokens`, packed, follow those of block `parent`. `parts`: their columns. `snapshots`: the other layers after the
    last of them, where that is known. `whole`: the columns of several neighbours, from whose column `place` on the
    parts are cut. `stored`: it is in a file as it is, or on its way there."""

    def __init__(
        self,
        name: bytes,
        parent: bytes,
        tokens: bytes,
        parts: Parts,
        snapshots: Snapshots | None,
        whole: Parts | None = None,
        place: int = 0,
    ) -> None:
        self.name = name
        self.parent = parent
        self.tokens = tokens
        self.parts = parts
        self.snapshots = snapshots
        self.whole = whole
        self.place = place
        self.stored = False

    def __len__(self) -> int:
        """Tokens."""
        return len(self.tokens) // BYTES

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays()) + len(self.tokens) + _OWN

    def arrays(self) -> list[mx.array]:
        return arrays(self.parts, self.snapshots or ())
