"""One input as a network takes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..prompt.prompt_frames import EncodedRows, unpack


@dataclass(eq=False)
class Row:
    """`place` is its number in the client's request; the first `head` tokens are the same in all rows of the request
    that have a head; `skip` tokens at the front are not pooled; `cut`: there was more. `caches` are those of a long
    row's beginning, while it is computed in pieces."""

    tokens: list[int]
    place: int
    segments: list[int] | None = None
    head: int = 0
    skip: int = 0
    cut: bool = False
    job: Any = field(default=None, repr=False)
    caches: list[Any] | None = field(default=None, repr=False)

    @property
    def length(self) -> int:
        """Of what goes through the network for this row alone."""
        return len(self.tokens) - self.head


def unpacked(result: EncodedRows) -> list[Row]:
    return [
        Row(
            unpack(row.tokens),
            row.place,
            segments=None if row.segments is None else unpack(row.segments),
            head=row.head,
            skip=row.skip,
            cut=row.cut,
        )
        for row in result.rows
    ]
