"""A decode step with each layer as two calls: one compiled function, and attention.

A step of few rows is bound by Python, which builds the same graph of some 700 operations for every token. What a layer
does before its attention and after it depends on nothing but arrays, so MLX can replay it (`mx.compile`); the cache and
the attention itself stay outside, for a cache that goes through a compiled function is copied.

No architecture is known here by name: a layer's own code is traced with a cache and an attention that only take note of
what they are given. A layer that does anything else with its cache or its mask stays as it is. Layers that differ in
their arrays alone share what is traced, for it is traced anew for every number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import KVCache, RotatingKVCache, make_prompt_cache

from ..cache.attention_rows import AttentionRows
from .blueprint import Blueprint, kind_of, places
from .replayed import Replayed


@dataclass
class _Ahead:
    """What a layer's compiled function has computed for the next layer, whose input is `x`."""

    x: mx.array
    arrays: list[mx.array]


class Pieces:
    """The compiled parts of one layer. Rows of one token each: x is (rows, 1, hidden)."""

    def __init__(self, layer: Any, blueprint: Blueprint) -> None:
        self._blueprint = blueprint
        self._own = [module[name] for module, name in places(layer)]
        self._next: Pieces | None = None
        self._after = blueprint.after(None)
        self._ahead: _Ahead | None = None

    @property
    def functions(self) -> tuple[Callable[..., Sequence[mx.array]], ...]:
        """What is called in a step of this layer."""
        return self._blueprint.before, self._after

    def precede(self, following: Pieces) -> None:
        """The output of this layer is the input of that one."""
        self._next = following
        self._after = self._blueprint.after(following._blueprint)

    def __call__(self, x: mx.array, mask: Any, cache: AttentionRows) -> mx.array:
        ahead, self._ahead = self._ahead, None
        offsets, own, following = cache.positions.offsets, self._own, self._next
        if ahead is not None and ahead.x is x:
            queries, keys, values = ahead.arrays
        else:
            queries, keys, values = self._blueprint.before(own, x, offsets)
        keys, values = cache.update_and_fetch(keys, values)
        options = {
            name: option.value if option.number is None else own[option.number]
            for name, option in self._blueprint.options.items()
        }
        attended = mx.fast.scaled_dot_product_attention(queries, keys, values, mask=mask, **options)
        output, *arrays = self._after(own, following._own if following is not None else [], x, attended, offsets)
        if following is not None:
            following._ahead = _Ahead(output, arrays)
        return output


def compile_layers(network: Any) -> int:
    """Make decode steps take compiled layers where the layers allow it, in place; gives how many do.

    The weights have to be in memory. Prompts, caches of other kinds, and rows of which one is at other positions than
    its places in the cache, as after a picture, go through the layers' own code as before.
    """
    layers, caches = list(network.layers), make_prompt_cache(network)
    if len(layers) != len(caches) or len({id(layer) for layer in layers}) != len(layers):
        return 0
    blueprints: dict[tuple[Any, ...], Blueprint] = {}
    before: Pieces | None = None
    found: list[Pieces | None] = []
    count = 0
    for layer, own in zip(layers, caches, strict=True):
        pieces = None
        if type(own) in (KVCache, RotatingKVCache):
            kind = kind_of(layer)
            if kind not in blueprints:
                blueprints[kind] = Blueprint(layer)
            pieces = Pieces(layer, blueprints[kind])
            count += 1
        if before is not None and pieces is not None:
            before.precede(pieces)
        before = pieces
        found.append(pieces)
    for layer, pieces in zip(layers, found, strict=True):
        if pieces is not None:
            layer.__class__ = _compiled(type(layer))  # type: ignore[arg-type]
            object.__setattr__(layer, _PIECES, pieces)
    return count


def functions(network: Any) -> list[Replayed]:
    """What compiled layers compute before and after attention on a CPU, each function once; those that are in use."""
    found: dict[Replayed, None] = {}
    for layer in getattr(network, "layers", ()):
        pieces = vars(layer).get(_PIECES)
        if pieces is not None:
            found |= {one: None for one in pieces.functions if isinstance(one, Replayed) and one.used}
    return list(found)


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
        if isinstance(cache, AttentionRows) and not cache.positions.moved and not more and not options:
            return vars(self)[_PIECES](x, mask, cache)  # type: ignore[no-any-return]
        output: mx.array = plain.__call__(self, x, mask, cache, *more, **options)
        return output

    return type(plain.__name__, (plain,), {"__call__": call, "__module__": plain.__module__})
