"""Keys and values of one attention layer for a decode batch: one row a sequence, each at its own length."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
from mlx_lm.models.cache import KVCache, RotatingKVCache

from . import capacity
from .positions import Positions
from .ragged import Ragged


def _resized(buffer: mx.array | None, rows: int, columns: int, like: mx.array) -> mx.array:
    """The buffer with so many rows and columns, old content in place as far as it fits. Shapes (rows, heads, columns,
    width); a new one is made as `like`."""
    if buffer is None:
        return mx.zeros((rows, like.shape[1], columns, like.shape[3]), dtype=like.dtype)
    kept = buffer[:rows, :, :columns]
    more_rows, more_columns = rows - kept.shape[0], columns - kept.shape[2]
    if not (more_rows or more_columns):
        return mx.contiguous(kept)
    return mx.pad(kept, [(0, more_rows), (0, 0), (0, more_columns), (0, 0)])


class AttentionRows:
    """Keys and values of one attention layer, buffers of shape (rows, kv heads, columns, head width).

    `size` 0: a full cache, the token at position p lies in column p. `size` n: a sliding window, a ring of n columns
    with position p in column p modulo n; attention does not mind the order, for positions are in the keys already.
    """

    def __init__(self, positions: Positions, size: int = 0) -> None:
        self.positions = positions
        self.size = size
        self.keys: mx.array | None = None
        self.values: mx.array | None = None

    # what the model calls

    @property
    def offset(self) -> int | mx.array:
        return self.positions.lengths[0] if self.positions.rows == 1 else self.positions.offsets

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Write one token a row, (rows, heads, 1, width), and give what attention reads: the whole buffers where the
        mask of this step is `Ragged`."""
        positions = self.positions
        columns = self._columns()
        self._reserve(positions.rows, columns, keys, values)
        assert self.keys is not None and self.values is not None
        count = positions.rows
        if count == 1:
            at = positions.lengths[0] % self.size if self.size else positions.lengths[0]
            self.keys[:1, :, at : at + 1] = keys
            self.values[:1, :, at : at + 1] = values
        else:
            self.keys[positions.index(keys.shape[1], self.size)] = keys[:, :, 0]
            self.values[positions.index(values.shape[1], self.size)] = values[:, :, 0]
        if positions.counted(self.size):  # attention reads no more of it than that
            return self.keys, self.values
        if count == self.keys.shape[0]:
            return self.keys[..., :columns, :], self.values[..., :columns, :]
        return self.keys[:count, :, :columns], self.values[:count, :, :columns]

    def make_mask(self, N: int, return_array: bool = False, window_size: int | None = None) -> mx.array | Ragged | None:
        if N != 1:
            raise ValueError("the decode batch takes one token a row")
        columns = self._columns()
        window = window_size or 0
        if self.size and (not window or window > self.size):
            window = self.size
        whole = not return_array and (not window or window >= columns)
        if whole and self.positions.ragged:
            return self.positions.visible(columns, self.size)
        if whole and self.positions.even:  # MLX has more ways to compute attention without a mask
            return None
        return self.positions.mask(columns, self.size, window)

    def _columns(self) -> int:
        return min(self.size, self.positions.span) if self.size else self.positions.span

    def _reserve(self, rows: int, tokens: int, keys: mx.array, values: mx.array) -> None:
        """Room for so many rows of so many tokens; `keys` and `values` show heads, widths and dtypes."""
        have_rows, have_columns = (0, 0) if self.keys is None else (self.keys.shape[0], self.keys.shape[2])
        if rows > have_rows or (min(tokens, self.size) if self.size else tokens) > have_columns:
            self._resize(max(have_rows, capacity.rows(rows)), max(have_columns, self._width(tokens)), keys, values)

    def _width(self, tokens: int) -> int:
        return min(self.size, capacity.columns(tokens)) if self.size else capacity.columns(tokens)

    def _resize(self, rows: int, columns: int, keys: mx.array, values: mx.array) -> None:
        self.keys = _resized(self.keys, rows, columns, keys)
        self.values = _resized(self.values, rows, columns, values)

    # what the batch calls

    def join(self, row: int, source: KVCache | RotatingKVCache, source_row: int, lengths: Sequence[int]) -> None:
        """A window's rows are all of one length, for they are not padded."""
        end, length = row + len(lengths), max(lengths)
        if length == 0:
            if self.keys is not None and self.values is not None:
                self._reserve(end, 1, self.keys, self.values)
            return
        keys, values = source.keys, source.values
        if self.size:
            keys, values = source._temporal_order(keys), source._temporal_order(values)
            kept = min(length, self.size, keys.shape[2])
            keys, values = keys[..., -kept:, :], values[..., -kept:, :]
            if kept == self.size:
                keys, values = (mx.roll(a, length % self.size, 2) for a in (keys, values))
        else:
            kept = length
        rows = slice(source_row, source_row + len(lengths))
        keys, values = keys[rows, :, :kept], values[rows, :, :kept]
        self._reserve(end, length + 1, keys, values)
        assert self.keys is not None and self.values is not None
        self.keys[row:end, :, :kept] = keys
        self.values[row:end, :, :kept] = values

    def take(self, row: int, length: int) -> KVCache | RotatingKVCache:
        """Copy a row of `length` tokens into a plain cache: all of them, or those in the window, oldest first."""
        cache = RotatingKVCache(self.size) if self.size else KVCache()
        if length == 0 or self.keys is None or self.values is None:
            return cache
        kept = min(length, self.size) if self.size else length
        keys, values = (buffer[row : row + 1, :, :kept] for buffer in (self.keys, self.values))
        if kept == self.size:
            keys, values = (mx.roll(a, -(length % self.size), 2) for a in (keys, values))
        cache.keys, cache.values, cache.offset = mx.contiguous(keys), mx.contiguous(values), length
        if self.size:
            cache._idx = kept
        return cache

    def columns(self, row: int, start: int, stop: int) -> tuple[mx.array, mx.array] | None:
        """Copies of a row's keys and values of the tokens from `start` to before `stop`, (1, heads, tokens, width);
        None where a window has moved past some of them."""
        assert self.keys is not None and self.values is not None
        keys, values = self.keys[row : row + 1], self.values[row : row + 1]
        if not self.size:
            return mx.contiguous(keys[:, :, start:stop]), mx.contiguous(values[:, :, start:stop])
        if start < self.positions.lengths[row] - self.size:
            return None
        places = mx.arange(start, stop) % self.size
        return mx.take(keys, places, 2), mx.take(values, places, 2)

    def move(self, source: int, target: int) -> None:
        if self.keys is None or self.values is None:
            return
        used = self.positions.lengths[source]
        used = min(used, self.size) if self.size else used
        self.keys[target : target + 1, :, :used] = self.keys[source : source + 1, :, :used]
        self.values[target : target + 1, :, :used] = self.values[source : source + 1, :, :used]

    def cut(self, count: int) -> None:
        """Rows from `count` on are free; give memory back when most rows are, or half of the columns."""
        if self.keys is None or self.values is None:
            return
        if count == 0:
            self.keys = self.values = None
            return
        rows, columns = self.keys.shape[0], self.keys.shape[2]
        wanted = self._width(max(self.positions.lengths[:count]) + 1)
        fewer, narrower = 4 * count <= rows, 2 * wanted <= columns
        if fewer or narrower:
            rows, columns = capacity.rows(2 * count) if fewer else rows, wanted if narrower else columns
            self._resize(rows, columns, self.keys, self.values)

    @property
    def nbytes(self) -> int:
        return 0 if self.keys is None or self.values is None else self.keys.nbytes + self.values.nbytes
