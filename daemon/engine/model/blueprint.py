"""What a layer does before its attention and after it, as two compiled functions, traced from its own code.

The code is run with a cache and an attention that only take note of what they are given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import CodeType, FunctionType, ModuleType
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from .joined import Part
from .replayed import replayed

_ANY = "*"
_OWN_NUMBER = re.compile(r"_?(?:layer_?)?(?:idx|index|id|number|num)", re.IGNORECASE)


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


class Blueprint:
    """What layers that differ in nothing but their arrays have in common: two compiled functions, traced with the code
    of one of them, whose own arrays are exchanged meanwhile for those that the functions are given."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._plain = type(layer).__call__
        self._places = list(places(layer))
        self._mask = mx.zeros((1,))  # stands for any mask
        self.options: dict[str, Any] = {}
        self.before = replayed(self.trace_before)
        self._after: dict[Blueprint | None, Callable[..., Sequence[mx.array]]] = {}

    def after(self, following: Blueprint | None) -> Callable[..., Sequence[mx.array]]:
        """The function for a layer that a layer of `following` comes after."""
        if following not in self._after:
            self._after[following] = replayed(partial(self._trace_after, following))
        return self._after[following]

    def trace_before(self, own: list[mx.array], x: mx.array, offsets: mx.array) -> tuple[mx.array, ...]:
        """Queries, keys and values, each (rows, heads, 1, width)."""
        cache = _Noting(offsets)
        try:
            with self._with(own), _Attention(self._mask, None):
                self._plain(self._layer, x, self._mask, cache)
        except _Cut as cut:
            if cache.updates != 1:
                raise Uncompilable from None
            self.options = {name: Option.of(value, own) for name, value in cut.options.items()}
            return cut.arrays
        raise Uncompilable

    def _trace_after(
        self,
        following: Blueprint | None,
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
        return [output, *(() if following is None else following.trace_before(next_own, output, offsets))]

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
class Option:
    """An argument of attention beside the tensors and the mask: a value, or one of the layer's arrays by its number."""

    value: Any
    number: int | None = None

    @classmethod
    def of(cls, value: Any, arrays: list[mx.array]) -> Option:
        """Raises Uncompilable for an array that the layer has computed."""
        if not isinstance(value, mx.array):
            return cls(value)
        for number, array in enumerate(arrays):
            if array is value:
                return cls(None, number)
        raise Uncompilable


def places(module: Any) -> Iterator[tuple[Any, str]]:
    """Where all arrays of a layer are: the module that has one, and under which name."""
    for name, child in module.items():
        if isinstance(child, mx.array):
            yield module, name
        for one in _modules(child):
            yield from places(one)


def _modules(child: Any) -> Iterator[Any]:
    if isinstance(child, nn.Module):
        yield child
    elif isinstance(child, list | tuple):
        for one in child:
            yield from _modules(one)
    elif isinstance(child, dict):
        for one in child.values():
            yield from _modules(one)


def kind_of(layer: Any) -> tuple[Any, ...]:
    """Equal for layers that differ in nothing but their arrays, and in their own number where their code never reads
    it. An object that this does not know is like no other."""
    read: set[str] = set()
    for one in layer.modules():
        for kind in type(one).__mro__:
            if kind is nn.Module:
                break
            for name, member in vars(kind).items():
                if name != "__init__":
                    read |= _names(member, set())
    return _described(layer, read)


def _names(member: Any, seen: set[CodeType]) -> set[str]:
    """What a member of a class may read of what it is given: every name and text in its code, and in the functions that
    it may call. _ANY: its code cannot be seen."""
    function = getattr(member, "fget", getattr(member, "__func__", member))
    if not isinstance(function, FunctionType):
        return {_ANY} if callable(function) and not isinstance(function, type) else set()
    if function.__code__ in seen:
        return set()
    seen.add(function.__code__)
    found = set(_texts(function.__code__))
    known = [function.__globals__.get(name) for name in found]
    known += [cell.cell_contents for cell in function.__closure__ or ()]
    for module in [one for one in known if isinstance(one, ModuleType)]:
        known += [vars(module).get(name) for name in found]
    for one in known:
        if isinstance(one, FunctionType):
            found |= _names(one, seen)
    return found


def _texts(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _texts(constant)
        elif isinstance(constant, str):
            yield constant


def _described(module: Any, read: set[str]) -> tuple[Any, ...]:
    children = tuple(
        (name, child.shape, child.dtype)
        if isinstance(child, mx.array)
        else (name, type(child), _arrays_in(child), *(_described(one, read) for one in _modules(child)))
        for name, child in module.items()
    )
    attributes = tuple(
        (name, _plain(value))
        for name, value in sorted(vars(module).items())
        if name in read or _ANY in read or not _OWN_NUMBER.fullmatch(name)
    )
    return type(module), attributes, children


def _arrays_in(child: Any) -> tuple[int, ...]:
    """Arrays that no module has itself, which are not exchanged: they are part of what is traced."""
    if isinstance(child, nn.Module):
        return ()
    return tuple(id(array) for _, array in tree_flatten(child, is_leaf=_is_module) if isinstance(array, mx.array))


def _is_module(value: Any) -> bool:
    return isinstance(value, nn.Module)


def _plain(value: Any) -> Any:
    match value:
        case Part():
            return Part, value.form
        case set() | frozenset():
            return frozenset(map(_plain, value))
        case list() | tuple():
            return tuple(map(_plain, value))
        case None | bool() | int() | float() | str():
            return type(value), value
    return id(value)
