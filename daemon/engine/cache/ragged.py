"""What stands for a mask where attention reads each row's own number of columns."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx

from .pages import gathered

Attention = Callable[..., mx.array]


class Ragged:
    """Stands where models expect a mask. Row i sees its first `counts[i]` columns, int32 of shape (rows,); `lengths`
    are the same numbers on the host. Keys and values may have more rows and columns than that: be whole buffers. With a
    `table`, int32 (rows, pages), they are pages of which row i has those in its row."""

    def __init__(
        self,
        counts: mx.array,
        lengths: tuple[int, ...],
        mask: Callable[[], mx.array],
        table: mx.array | None = None,
    ) -> None:
        self.counts = counts
        self.table = table
        self.lengths = lengths
        self.longest = max(lengths)
        self._mask = mask

    def mask(self) -> mx.array:
        """The same as a bool array, (rows, 1, 1, columns), for attention that needs one."""
        return self._mask()

    def cut(self, buffer: mx.array) -> mx.array:
        """What the mask is for of keys or values, (rows, heads, columns, width)."""
        rows, columns = len(self.lengths), self.longest
        if self.table is not None:
            return gathered(buffer, self.table, columns)
        if buffer.shape[0] == rows and buffer.shape[2] == columns:
            return buffer
        return buffer[:rows, :, :columns]
