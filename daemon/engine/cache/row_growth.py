"""What a row of caches of unknown classes takes: found by what they hold after few and after more tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import mlx.core as mx
from mlx import nn

from .capacity import RowBytes

_FEW, _MORE = 256, 512  # tokens; buffers of mlx-lm's grow by as many
_FAR = 16384
_FULL = 0.9


def row_growth(held_after: Callable[[int], list[Any]]) -> RowBytes:
    """`held_after` gives one row's caches after so many tokens in one piece and one more, for windows may let go of the
    first ones only then. Nothing is computed, for their shapes say enough; no window is held to be wider than _FAR."""
    few, more, far = (dict(_sizes(held_after(tokens))) for tokens in (_FEW, _MORE, _FAR))
    column = state = 0
    rings: dict[int, int] = {}
    for place, nbytes in more.items():
        one = -(-max(0, nbytes - few.get(place, 0)) // (_MORE - _FEW))
        if not one:
            state += nbytes
        elif (last := far.get(place, 0)) < _FULL * one * _FAR:
            rings[last // one] = rings.get(last // one, 0) + one
        else:
            column += one
    return RowBytes(column, tuple(sorted(rings.items())), state)


def _sizes(caches: list[Any]) -> Iterator[tuple[str, int]]:
    """The bytes of each array by its place, wherever it is. Weights of layers are none of a cache's own."""
    seen: set[int] = set()
    pending: list[tuple[str, Any]] = [("", caches)]
    while pending:
        place, one = pending.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, mx.array):
            yield place, one.nbytes
        elif not isinstance(one, (nn.Module, type)):
            pending += ((f"{place}.{name}", value) for name, value in _parts(one))


def _parts(one: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(one, Mapping):
        yield from one.items()
    elif isinstance(one, (list, tuple)):
        yield from enumerate(one)
    else:
        yield from getattr(one, "__dict__", {}).items()
