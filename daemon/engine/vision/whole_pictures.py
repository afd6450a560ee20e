"""Caches of a prefill in which the tokens of a picture attend to all of that picture (Gemma 3 and 4).

Masks alone differ from the class that is `plain`: what they hold is kept, and put together again, as of that one.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import KVCache, RotatingKVCache


class Groups:
    """`of` a chunk's tokens: (width,), one number for each picture, 0 for text; None where there is only text.

    `whole`: in every layer, and past the window too (Gemma 3). Else in sliding windows only, and within them.
    """

    def __init__(self, *, whole: bool) -> None:
        self.whole = whole
        self.of: mx.array | None = None

    def joined(self, mask: mx.array, window: int = 0) -> mx.array:
        """A causal mask, (width, columns), whose last columns are the chunk's own tokens, with the groups in it."""
        assert self.of is not None
        own = (self.of[:, None] == self.of[None]) & (self.of[None] > 0)
        if window and not self.whole:
            places = mx.arange(own.shape[0])
            own = own & (places[:, None] - places[None] < window)
        return mask | mx.pad(own, [(0, 0), (mask.shape[-1] - own.shape[-1], 0)])


class GroupingCache(KVCache):  # type: ignore[misc]
    plain = KVCache

    def __init__(self, groups: Groups) -> None:
        super().__init__()
        self._groups = groups

    def make_mask(self, N: int, return_array: bool = False, window_size: int | None = None) -> Any:
        if self._groups.of is None or not self._groups.whole:
            return super().make_mask(N, return_array=return_array, window_size=window_size)
        return self._groups.joined(super().make_mask(N, return_array=True, window_size=window_size))


class GroupingRing(RotatingKVCache):  # type: ignore[misc]
    plain = RotatingKVCache

    def __init__(self, max_size: int, groups: Groups) -> None:
        super().__init__(max_size)
        self._groups = groups

    def make_mask(self, N: int, window_size: int | None = None, return_array: bool = False) -> Any:
        if self._groups.of is None:
            return super().make_mask(N, window_size=window_size, return_array=return_array)
        mask = super().make_mask(N, window_size=window_size, return_array=True)
        return self._groups.joined(mask, window_size or self.max_size)


def grouping_caches(caches: list[Any], groups: Groups) -> list[Any]:
    """Empty caches like these. Raises ValueError for classes that this is not known of."""
    made: list[Any] = []
    for cache in caches:
        if type(cache) is KVCache:
            made.append(GroupingCache(groups))
        elif type(cache) is RotatingKVCache and cache.keep == 0:
            made.append(GroupingRing(cache.max_size, groups))
        else:
            raise ValueError(f"a cache of the class {type(cache).__name__} has no room for whole pictures")
    return made
