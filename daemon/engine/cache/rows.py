"""The decode batch's caches: one row a sequence, each at its own length.

Sequences join by having their prefilled caches copied into free rows, those that were prefilled side by side at once,
and leave by having the last row moved into their place, so the other rows are never copied. The classes here speak the
cache interface that mlx-lm's models call (`offset`, `update_and_fetch`, `make_mask`, indexing); they only ever see one
new token a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from mlx_lm.models.cache import ArraysCache, CacheList, KVCache, RotatingKVCache

from .attention_rows import AttentionRows
from .capacity import RowBytes
from .paged_rows import PagedRows
from .positions import Positions
from .state_rows import StateRows


class LayerRows(Protocol):
    """One layer's rows, as the batch moves them."""

    def join(self, row: int, source: Any, source_row: int, lengths: Sequence[int]) -> None:
        """As many as there are lengths: those from `source_row` on become those from `row` on, which is the first free
        one. What pads the shorter ones comes along."""

    def take(self, row: int, length: int) -> Any:
        """The row as a plain cache of mlx-lm's, a copy; `length` is what `positions` says of the row."""

    def move(self, source: int, target: int) -> None: ...
    def cut(self, count: int) -> None: ...
    @property
    def nbytes(self) -> int: ...


class ListRows(CacheList):  # type: ignore[misc]
    """Several caches of one layer, moved together."""

    def join(self, row: int, source: CacheList, source_row: int, lengths: Sequence[int]) -> None:
        for own, other in zip(self.caches, source.caches, strict=True):
            own.join(row, other, source_row, lengths)

    def take(self, row: int, length: int) -> CacheList:
        return CacheList(*(own.take(row, length) for own in self.caches))

    def move(self, source: int, target: int) -> None:
        for own in self.caches:
            own.move(source, target)

    def cut(self, count: int) -> None:
        for own in self.caches:
            own.cut(count)


def rows_like(cache: Any, positions: Positions) -> Any:
    """The rows that match one layer's plain cache, or None when that class cannot be batched."""
    if type(cache) is KVCache:
        return AttentionRows(positions) if positions.pages is None else PagedRows(positions)
    if type(cache) is RotatingKVCache and cache.keep == 0:
        return AttentionRows(positions, cache.max_size)
    if type(cache) is ArraysCache:
        return StateRows(len(cache.cache))
    if type(cache) is CacheList:
        inner = [rows_like(one, positions) for one in cache.caches]
        return None if any(one is None for one in inner) else ListRows(*inner)
    return None


def row_bytes(caches: list[Any]) -> RowBytes:
    """What a sequence takes, read off plain caches that hold at least one token, of any number of rows."""
    column = state = 0
    rings: dict[int, int] = {}
    flat = list(caches)
    while flat:
        cache = flat.pop()
        if isinstance(cache, CacheList):
            flat += cache.caches
        elif isinstance(cache, ArraysCache):
            state += sum(one.nbytes // one.shape[0] for one in cache.cache if one is not None)
        else:
            one = sum(array.shape[1] * array.shape[3] * array.itemsize for array in (cache.keys, cache.values))
            if isinstance(cache, RotatingKVCache):
                rings[cache.max_size] = rings.get(cache.max_size, 0) + one
            else:
                column += one
    return RowBytes(column, tuple(sorted(rings.items())), state)


def can_batch(caches: list[Any]) -> bool:
    """Whether every layer's plain cache has rows that match it."""
    return all(rows_like(cache, Positions()) is not None for cache in caches)


def paddable(caches: list[Any]) -> bool:
    """Whether prompts of different lengths may be prefilled side by side, padded on the right: plain attention only."""
    return all(type(cache) is KVCache for cache in caches)
