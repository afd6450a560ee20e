"""A decode step with each layer as two calls: one compiled function, and attention.

A step of few rows is bound by Python, which builds the same graph of some 700 operations for every token. What a layer
does before its attention and after it depends on nothing but arrays, so MLX can replay it (`mx.compile`); the cache and
the attention itself stay outside, for a cache that goes through a compiled function is copied.

No architecture is known here by name: a layer's own code is traced with a cache and an attention that only take note of
what they are given. A layer that does anything else with its cache or its mask stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import KVCache, RotatingKVCache, make_prompt_cache

from ..cache.attention_rows import AttentionRows


class Uncompilable(Exception):
    """The layer does something that cannot be cut at its attention."""


class _Cut(Exception):
    """Attention was reached."""

    def __init__(self, arrays: tuple[mx.array, mx.array, mx.array], options: dict[str, Any]) -> None:
        super().__init__()
        self.arrays = arrays
        self.options = options


class _Noting:
    """A cache during tracing: every row's new token is at `offset`, int32 of shape (rows,)."""

    def __init__(self, offset: mx.array) -> None:
        self.offset = offset
        self.updates = 0

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        self.updates += 1
        return keys, values


class _Attention:
    """`mx.fast.scaled_dot_product_attention` during tracing: `attended` is its answer; None: it raises _Cut."""

    def __init__(self, mask: object, attended: mx.array | None) -> None:
        self._mask = mask
        self._attended = attended
        self._plain: Any = None
        self.calls = 0

    def __enter__(self) -> _Attention:
        self._plain = mx.fast.scaled_dot_product_attention
        mx.fast.scaled_dot_product_attention = self  # type: ignore[assignment]
        return self

    def __exit__(self, *_: object) -> None:
        mx.fast.scaled_dot_product_attention = self._plain

    def __call__(
        self, queries: mx.array, keys: mx.array, values: mx.array, *, mask: object = None, **options: Any
    ) -> mx.array:
        self.calls += 1
        if mask is not self._mask or self.calls > 1:
            raise Uncompilable
        if self._attended is None:
            raise _Cut((queries, keys, values), options)
        return self._attended


@dataclass
class _Ahead:
    """What a layer's compiled function has computed for the next layer, whose input is `x`."""

    x: mx.array
    arrays: tuple[mx.array, ...]


class Pieces:
    """The compiled parts of one layer. Rows of one token each: x is (rows, 1, hidden)."""

    def __init__(self, layer: Any, plain: Callable[..., mx.array]) -> None:
        """`plain`: the layer's own code. Raises Uncompilable."""
        self._layer = layer
        self._plain = plain
        self._mask = mx.zeros((1,))  # stands for any mask
        self.next: Pieces | None = None
        self.options: dict[str, Any] = {}
        self.ahead: _Ahead | None = None
        self._before = mx.compile(self._trace_before)
        self._after = mx.compile(self._trace_after)

    def __call__(self, x: mx.array, mask: Any, cache: AttentionRows) -> mx.array:
        ahead, self.ahead = self.ahead, None
        offsets = cache.positions.offsets
        queries, keys, values = ahead.arrays if ahead is not None and ahead.x is x else self._before(x, offsets)
        keys, values = cache.update_and_fetch(keys, values)
        attended = mx.fast.scaled_dot_product_attention(queries, keys, values, mask=mask, **self.options)
        if self.next is None:
            return self._after(x, attended, offsets)[0]
        output, *arrays = self._after(x, attended, offsets)
        self.next.ahead = _Ahead(output, tuple(arrays))
        return output

    def _trace_before(self, x: mx.array, offsets: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        cache = _Noting(offsets)
        try:
            with _Attention(self._mask, None):
                self._plain(self._layer, x, self._mask, cache)
        except _Cut as cut:
            if cache.updates != 1:
                raise Uncompilable from None
            self.options = cut.options
            return cut.arrays
        raise Uncompilable

    def _trace_after(self, x: mx.array, attended: mx.array, offsets: mx.array) -> tuple[mx.array, ...]:
        with _Attention(self._mask, attended) as attention:
            output = self._plain(self._layer, x, self._mask, _Noting(offsets))
        if attention.calls != 1:
            raise Uncompilable
        following = () if self.next is None else self.next._trace_before(output, offsets)
        return (output, *following)


def compile_layers(network: Any) -> int:
    """Make decode steps take compiled layers where the layers allow it, in place; gives how many do.

    The weights have to be in memory. Prompts, and caches of other kinds, go through the layers' own code as before.
    """
    layers, caches = list(network.layers), make_prompt_cache(network)
    if len(layers) != len(caches) or len({id(layer) for layer in layers}) != len(layers):
        return 0
    before: Pieces | None = None
    count = 0
    for layer, own in zip(layers, caches, strict=True):
        pieces = Pieces(layer, type(layer).__call__) if type(own) in (KVCache, RotatingKVCache) else None
        if pieces is not None:
            layer.__class__ = _compiled(type(layer))  # type: ignore[arg-type]
            object.__setattr__(layer, _PIECES, pieces)
            count += 1
        if before is not None:
            before.next = pieces
        before = pieces
    return count


def undo(network: Any) -> None:
    """Make all layers what they were before `compile_layers`."""
    for layer in network.layers:
        if _PIECES in vars(layer):
            delattr(layer, _PIECES)
            layer.__class__ = type(layer).__bases__[0]


_PIECES = "_compiled_pieces"


@cache
def _compiled(plain: type) -> type:
    """The class of layers with these parts; a layer's class is looked up by whoever calls it."""

    def call(self: Any, x: mx.array, mask: Any = None, cache: Any = None, *more: Any, **options: Any) -> mx.array:
        if type(cache) is AttentionRows and not more and not options:
            return vars(self)[_PIECES](x, mask, cache)  # type: ignore[no-any-return]
        output: mx.array = plain.__call__(self, x, mask, cache, *more, **options)
        return output

    return type(plain.__name__, (plain,), {"__call__": call, "__module__": plain.__module__})
