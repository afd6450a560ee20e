"""A decode step with each layer as two calls: one compiled function, and attention.

A step of few rows is bound by Python, which builds the same graph of some 700 operations for every token. What a layer
does before its attention and after it depends on nothing but arrays, so MLX can replay it (`mx.compile`); the cache and
the attention itself stay outside, for a cache that goes through a compiled function is copied.

No architecture is known here by name: a layer's own code is traced with a cache and an attention that only take note of
what they are given. A layer that does anything else with its cache or its mask stays as it is. Layers that differ in
their arrays alone share what is traced, for it is traced anew for every number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from types import CodeType
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import KVCache, RotatingKVCache, make_prompt_cache

from ..cache.attention_rows import AttentionRows
from .joined import Part


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


class _Blueprint:
    """What layers that differ in nothing but their arrays have in common: two compiled functions, traced with the code
    of one of them, whose own arrays are exchanged meanwhile for those that the functions are given."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._plain = type(layer).__call__
        self._places = list(_places(layer))
        self._mask = mx.zeros((1,))  # stands for any mask
        self.options: dict[str, Any] = {}
        self.before = mx.compile(self._trace_before)
        self._after: dict[_Blueprint | None, Callable[..., list[mx.array]]] = {}

    def after(self, following: _Blueprint | None) -> Callable[..., list[mx.array]]:
        """The function for a layer that a layer of `following` comes after."""
        if following not in self._after:
            self._after[following] = mx.compile(partial(self._trace_after, following))
        return self._after[following]

    def _trace_before(self, own: list[mx.array], x: mx.array, offsets: mx.array) -> tuple[mx.array, ...]:
        """Queries, keys and values, each (rows, heads, 1, width)."""
        cache = _Noting(offsets)
        try:
            with self._with(own), _Attention(self._mask, None):
                self._plain(self._layer, x, self._mask, cache)
        except _Cut as cut:
            if cache.updates != 1:
                raise Uncompilable from None
            self.options = {name: _Option.of(value, own) for name, value in cut.options.items()}
            return cut.arrays
        raise Uncompilable

    def _trace_after(
        self,
        following: _Blueprint | None,
        own: list[mx.array],
        next_own: list[mx.array],
        x: mx.array,
        attended: mx.array,
        offsets: mx.array,
    ) -> list[mx.array]:
        """What the layer gives, and then what the next one does before its attention."""
        with self._with(own), _Attention(self._mask, attended) as attention:
            output = self._plain(self._layer, x, self._mask, _Noting(offsets))
        if attention.calls != 1:
            raise Uncompilable
        return [output, *(() if following is None else following._trace_before(next_own, output, offsets))]

    @contextmanager
    def _with(self, arrays: list[mx.array]) -> Iterator[None]:
        before = [module[name] for module, name in self._places]
        try:
            for (module, name), array in zip(self._places, arrays, strict=True):
                module[name] = array
            yield
        finally:
            for (module, name), array in zip(self._places, before, strict=True):
                module[name] = array


@dataclass(frozen=True)
class _Option:
    """An argument of attention beside the tensors and the mask: a value, or one of the layer's arrays by its number."""

    value: Any
    number: int | None = None

    @classmethod
    def of(cls, value: Any, arrays: list[mx.array]) -> _Option:
        """Raises Uncompilable for an array that the layer has computed."""
        if not isinstance(value, mx.array):
            return cls(value)
        for number, array in enumerate(arrays):
            if array is value:
                return cls(None, number)
        raise Uncompilable


@dataclass
class _Ahead:
    """What a layer's compiled function has computed for the next layer, whose input is `x`."""

    x: mx.array
    arrays: list[mx.array]


class Pieces:
    """The compiled parts of one layer. Rows of one token each: x is (rows, 1, hidden)."""

    def __init__(self, layer: Any, blueprint: _Blueprint) -> None:
        self._blueprint = blueprint
        self._own = [module[name] for module, name in _places(layer)]
        self._next: Pieces | None = None
        self._after = blueprint.after(None)
        self._ahead: _Ahead | None = None

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


def _places(module: Any) -> Iterator[tuple[Any, str]]:
    """Where all arrays of a layer are: the module that has one, and under which name."""
    for name, child in module.items():
        if isinstance(child, mx.array):
            yield module, name
        for one in _modules(child):
            yield from _places(one)


def _modules(child: Any) -> Iterator[Any]:
    if isinstance(child, nn.Module):
        yield child
    elif isinstance(child, list | tuple):
        for one in child:
            yield from _modules(one)
    elif isinstance(child, dict):
        for one in child.values():
            yield from _modules(one)


def _kind(layer: Any) -> tuple[Any, ...]:
    """Equal for layers that differ in nothing but their arrays, and in attributes that their code never reads, such as
    their own number. An object that this does not know is like no other."""
    read: set[str] = set()
    for one in layer.modules():
        for kind in type(one).__mro__:
            if kind is nn.Module:
                break
            for name, member in vars(kind).items():
                if name != "__init__":
                    read |= _names(getattr(member, "fget", member))
    return _described(layer, read)


def _names(function: Any) -> set[str]:
    """The names that a function's code reads as attributes, or as anything else; none where it is no function."""
    code = getattr(function, "__code__", function)
    if not isinstance(code, CodeType):
        return set()
    return set(code.co_names).union(*map(_names, code.co_consts))


def _described(module: Any, read: set[str]) -> tuple[Any, ...]:
    children = tuple(
        (name, child.shape, child.dtype)
        if isinstance(child, mx.array)
        else (name, type(child), *(_described(one, read) for one in _modules(child)))
        for name, child in module.items()
    )
    attributes = tuple((name, _plain(value)) for name, value in sorted(vars(module).items()) if name in read)
    return type(module), attributes, children


def _plain(value: Any) -> Any:
    match value:
        case Part():
            return Part, value.place
        case set() | frozenset():
            return frozenset(map(_plain, value))
        case list() | tuple():
            return tuple(map(_plain, value))
        case None | bool() | int() | float() | str():
            return type(value), value
    return id(value)


def compile_layers(network: Any) -> int:
    """Make decode steps take compiled layers where the layers allow it, in place; gives how many do.

    The weights have to be in memory. Prompts, caches of other kinds, and rows of which one is at other positions than
    its places in the cache, as after a picture, go through the layers' own code as before.
    """
    layers, caches = list(network.layers), make_prompt_cache(network)
    if len(layers) != len(caches) or len({id(layer) for layer in layers}) != len(layers):
        return 0
    blueprints: dict[tuple[Any, ...], _Blueprint] = {}
    before: Pieces | None = None
    found: list[Pieces | None] = []
    count = 0
    for layer, own in zip(layers, caches, strict=True):
        pieces = None
        if type(own) in (KVCache, RotatingKVCache):
            kind = _kind(layer)
            if kind not in blueprints:
                blueprints[kind] = _Blueprint(layer)
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
        if type(cache) is AttentionRows and not cache.positions.moved and not more and not options:
            return vars(self)[_PIECES](x, mask, cache)  # type: ignore[no-any-return]
        output: mx.array = plain.__call__(self, x, mask, cache, *more, **options)
        return output

    return type(plain.__name__, (plain,), {"__call__": call, "__module__": plain.__module__})
