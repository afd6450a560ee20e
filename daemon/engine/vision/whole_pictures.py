"""Caches of a prefill in which the tokens of a picture attend to all of that picture (Gemma 3)."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import KVCache, RotatingKVCache


class Together:
    """Which of a chunk's tokens belong together: `groups`, (width,), 0 for text; None where there is only text."""

    def __init__(self) -> None:
        self.groups: mx.array | None = None

    def added(self, mask: Any) -> Any:
        """A causal mask, (width, columns), whose last columns are the chunk's own tokens, with the groups joined."""
        if self.groups is None:
            return mask
        own = (self.groups[:, None] == self.groups[None]) & (self.groups[None] > 0)
        before = mask.shape[-1] - own.shape[-1]
        return mask | mx.pad(own, [(0, 0), (before, 0)])


class TogetherCache(KVCache):  # type: ignore[misc]
    def __init__(self, together: Together) -> None:
        super().__init__()
        self._together = together

    def make_mask(self, N: int, return_array: bool = False, window_size: int | None = None) -> Any:
        whole = return_array or self._together.groups is not None
        return self._together.added(super().make_mask(N, return_array=whole, window_size=window_size))


class TogetherRing(RotatingKVCache):  # type: ignore[misc]
    def __init__(self, max_size: int, together: Together) -> None:
        super().__init__(max_size)
        self._together = together

    def make_mask(self, N: int, window_size: int | None = None, return_array: bool = False) -> Any:
        whole = return_array or self._together.groups is not None
        return self._together.added(super().make_mask(N, window_size=window_size, return_array=whole))


def together_caches(caches: list[Any], together: Together) -> list[Any]:
    """Empty caches like these. Raises ValueError for classes that this is not known of."""
    made: list[Any] = []
    for cache in caches:
        if type(cache) is KVCache:
            made.append(TogetherCache(together))
        elif type(cache) is RotatingKVCache and cache.keep == 0:
            made.append(TogetherRing(cache.max_size, together))
        else:
            raise ValueError(f"a cache of the class {type(cache).__name__} has no room for whole pictures")
    return made
