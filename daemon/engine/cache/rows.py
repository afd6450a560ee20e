"""The decode batch's caches: one row a sequence, each at its own length.

A sequence joins by having its prefilled cache copied into a free row and leaves by having the last row moved into its
place, so the other rows are never copied. The classes here speak the cache interface that mlx-lm's models call
(`offset`, `update_and_fetch`, `make_mask`, indexing); they only ever see one new token a row.
"""

from __future__ import annotations

from typing import Any, Protocol

import mlx.core as mx
from mlx_lm.models.cache import ArraysCache, CacheList, KVCache, RotatingKVCache

from .ragged import Ragged

CAPACITY_STEP = 256


class Positions:
    """Where each row stands: `lengths[i]` tokens of row i are in the caches. Shared by every layer of one batch.

    `ragged`: attention takes `Ragged` counts in place of masks.
    """

    def __init__(self, *, ragged: bool = False) -> None:
        self.ragged = ragged
        self.lengths: list[int] = []
        self.begin()

    def begin(self) -> None:
        """Forget what was derived from the lengths; call it whenever they change."""
        self._offsets: mx.array | None = None
        self._indices: dict[tuple[int, int], tuple[mx.array, mx.array, mx.array]] = {}
        self._masks: dict[tuple[int, int, int], mx.array] = {}
        self._counts: dict[int, mx.array] = {}
        self.span = max(self.lengths, default=0) + 1

    @property
    def count(self) -> int:
        return len(self.lengths)

    @property
    def offsets(self) -> mx.array:
        """The position of each row's new token, int32 of shape (rows,)."""
        if self._offsets is None:
            self._offsets = mx.array(self.lengths, dtype=mx.int32)
        return self._offsets

    def index(self, heads: int, size: int) -> tuple[mx.array, mx.array, mx.array]:
        """Where each row's new token goes in a buffer of shape (rows, heads, columns, width); `size` as in `mask`."""
        key = (heads, size)
        if key not in self._indices:
            column = self.offsets % size if size else self.offsets
            row, head, column = mx.broadcast_arrays(
                mx.arange(self.count)[:, None], mx.arange(heads)[None], column[:, None]
            )
            self._indices[key] = (row, head, column)
        return self._indices[key]

    def advance(self) -> None:
        """The new token of every row is in the caches."""
        self.lengths = [length + 1 for length in self.lengths]
        self.begin()

    def visible(self, columns: int, size: int) -> Ragged:
        """How many columns each row's new token sees, where it sees all that are filled; `size` as in `mask`."""
        if size not in self._counts:
            self._counts[size] = mx.minimum(self.offsets + 1, size) if size else self.offsets + 1
        return Ragged(self._counts[size], lambda: self.mask(columns, size, 0))

    def mask(self, columns: int, size: int, window: int) -> mx.array:
        """Which columns each row's new token may see: bool of shape (rows, 1, 1, columns).

        `size` is the period of a ring (0: columns are positions); `window` is how far back a token sees (0: all).
        """
        key = (columns, size, window)
        if key not in self._masks:
            now = self.offsets[:, None]
            column = mx.arange(columns)[None]
            age = (now - column) % size if size else now - column
            visible = (age >= 0) & (age <= now)
            if window:
                visible = visible & (age < window)
            self._masks[key] = visible[:, None, None]
        return self._masks[key]


class LayerRows(Protocol):
    """One layer's rows, as the batch moves them."""

    def join(self, row: int, source: Any, source_row: int, length: int) -> None: ...
    def move(self, source: int, target: int) -> None: ...
    def cut(self, count: int) -> None: ...
    @property
    def nbytes(self) -> int: ...


def _grown(buffer: mx.array | None, rows: int, columns: int, like: mx.array) -> mx.array:
    """The buffer with at least these rows and columns, old content in place. Shapes (rows, heads, columns, width)."""
    _, heads, _, width = like.shape
    if buffer is None:
        return mx.zeros((rows, heads, columns, width), dtype=like.dtype)
    have_rows, _, have_columns, _ = buffer.shape
    if rows > have_rows:
        rows = max(rows, 2 * have_rows)
    if rows <= have_rows and columns <= have_columns:
        return buffer
    return mx.pad(buffer, [(0, max(0, rows - have_rows)), (0, 0), (0, max(0, columns - have_columns)), (0, 0)])


def _rounded(columns: int) -> int:
    return -(-columns // CAPACITY_STEP) * CAPACITY_STEP


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
        return self.positions.lengths[0] if self.positions.count == 1 else self.positions.offsets

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Write one token a row, (rows, heads, 1, width), and give what attention reads."""
        positions = self.positions
        columns = self._columns()
        self._reserve(positions.count, columns, keys, values)
        assert self.keys is not None and self.values is not None
        count = positions.count
        if count == 1:
            at = positions.lengths[0] % self.size if self.size else positions.lengths[0]
            self.keys[:1, :, at : at + 1] = keys
            self.values[:1, :, at : at + 1] = values
        else:
            self.keys[positions.index(keys.shape[1], self.size)] = keys[:, :, 0]
            self.values[positions.index(values.shape[1], self.size)] = values[:, :, 0]
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
        if whole and self.positions.count == 1:
            return None
        if whole and self.positions.ragged:
            return self.positions.visible(columns, self.size)
        return self.positions.mask(columns, self.size, window)

    def _columns(self) -> int:
        return min(self.size, self.positions.span) if self.size else self.positions.span

    def _reserve(self, rows: int, columns: int, keys: mx.array, values: mx.array) -> None:
        wanted = _rounded(columns)
        if self.size:
            wanted = min(wanted, self.size)
        if self.keys is None or self.keys.shape[0] < rows or self.keys.shape[2] < columns:
            self.keys = _grown(self.keys, rows, wanted, keys)
            self.values = _grown(self.values, rows, wanted, values)

    # what the batch calls

    def join(self, row: int, source: KVCache | RotatingKVCache, source_row: int, length: int) -> None:
        if length == 0:
            if self.keys is not None and self.values is not None:
                self._reserve(row + 1, 1, self.keys, self.values)
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
        keys, values = keys[source_row : source_row + 1, :, :kept], values[source_row : source_row + 1, :, :kept]
        self._reserve(row + 1, kept, keys, values)
        assert self.keys is not None and self.values is not None
        self.keys[row : row + 1, :, :kept] = keys
        self.values[row : row + 1, :, :kept] = values

    def move(self, source: int, target: int) -> None:
        if self.keys is None or self.values is None:
            return
        used = self.positions.lengths[source]
        used = min(used, self.size) if self.size else used
        self.keys[target : target + 1, :, :used] = self.keys[source : source + 1, :, :used]
        self.values[target : target + 1, :, :used] = self.values[source : source + 1, :, :used]

    def cut(self, count: int) -> None:
        """Rows from `count` on are free; give memory back when most of it is."""
        if self.keys is None or self.values is None:
            return
        if count == 0:
            self.keys = self.values = None
        elif 4 * count <= self.keys.shape[0]:
            keep = 2 * count
            self.keys, self.values = mx.contiguous(self.keys[:keep]), mx.contiguous(self.values[:keep])

    @property
    def nbytes(self) -> int:
        return 0 if self.keys is None or self.values is None else self.keys.nbytes + self.values.nbytes


class StateRows(ArraysCache):  # type: ignore[misc]
    """The recurrent states of one layer (convolution, SSM, linear attention), each of shape (rows, …)."""

    def __init__(self, size: int) -> None:
        super().__init__(size)

    def join(self, row: int, source: ArraysCache, source_row: int, length: int) -> None:
        for index, state in enumerate(source.cache):
            own = self.cache[index]
            if state is None:
                continue
            new = state[source_row : source_row + 1]
            if own is None:
                own = mx.zeros((row, *new.shape[1:]), dtype=new.dtype)
            if own.shape[0] < row:
                own = mx.pad(own, [(0, row - own.shape[0])] + [(0, 0)] * (own.ndim - 1))
            self.cache[index] = mx.concatenate([own, new]) if own.shape[0] == row else _replaced(own, row, new)
        if all(state is None for state in source.cache):
            self._zero(row)

    def _zero(self, row: int) -> None:
        for index, own in enumerate(self.cache):
            if own is None:
                continue
            new = mx.zeros((1, *own.shape[1:]), dtype=own.dtype)
            self.cache[index] = mx.concatenate([own, new]) if own.shape[0] == row else _replaced(own, row, new)

    def move(self, source: int, target: int) -> None:
        for index, own in enumerate(self.cache):
            if own is not None:
                self.cache[index] = _replaced(own, target, own[source : source + 1])

    def cut(self, count: int) -> None:
        self.cache: list[mx.array | None] = [None if own is None or count == 0 else own[:count] for own in self.cache]


def _replaced(array: mx.array, row: int, new: mx.array) -> mx.array:
    parts = [array[:row], new, array[row + 1 :]]
    return mx.concatenate([part for part in parts if part.shape[0]])


class ListRows(CacheList):  # type: ignore[misc]
    """Several caches of one layer, moved together."""

    def join(self, row: int, source: CacheList, source_row: int, length: int) -> None:
        for own, other in zip(self.caches, source.caches, strict=True):
            own.join(row, other, source_row, length)

    def move(self, source: int, target: int) -> None:
        for own in self.caches:
            own.move(source, target)

    def cut(self, count: int) -> None:
        for own in self.caches:
            own.cut(count)


def rows_like(cache: Any, positions: Positions) -> Any:
    """The rows that match one layer's plain cache, or None when that class cannot be batched."""
    if type(cache) is KVCache:
        return AttentionRows(positions)
    if type(cache) is RotatingKVCache and cache.keep == 0:
        return AttentionRows(positions, cache.max_size)
    if type(cache) is ArraysCache:
        return StateRows(len(cache.cache))
    if type(cache) is CacheList:
        inner = [rows_like(one, positions) for one in cache.caches]
        return None if any(one is None for one in inner) else ListRows(*inner)
    return None


def paddable(caches: list[Any]) -> bool:
    """Whether prompts of different lengths may be prefilled side by side, padded on the right: plain attention only."""
    return all(type(cache) is KVCache for cache in caches)
