"""What objects hold, written down flat: plain values, and where each array stands. No MLX.

Nodes stand in the order in which they can be made: each refers only to those before it, and the last one is the root.
What is met twice is one node, so what was shared stays shared. Nothing in a graph names code to run: an object is made
of a class that whoever reads the graph knows, and of its fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copyreg import __newobj__ as plain_object  # type: ignore[attr-defined]
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec

_LONGEST = 1 << 63  # MessagePack has integers of 64 bits


class Undescribed(ValueError):
    """Something is held that a graph has no node for."""


class Ref(msgspec.Struct, frozen=True, array_like=True):
    """The node of this number."""

    node: int


Plain: TypeAlias = bool | int | float | str | None
Value: TypeAlias = bool | int | float | str | Ref | None


class Leaf(msgspec.Struct, frozen=True, array_like=True, tag="array"):
    """An array; one without elements is nowhere else."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def empty(self) -> bool:
        return 0 in self.shape


class Items(msgspec.Struct, frozen=True, array_like=True, tag="items"):
    of: Literal["list", "tuple"]
    values: tuple[Value, ...]


class Pairs(msgspec.Struct, frozen=True, array_like=True, tag="pairs"):
    """A dictionary."""

    pairs: tuple[tuple[Plain, Value], ...]


class Instance(msgspec.Struct, frozen=True, array_like=True, tag="instance"):
    kind: str
    fields: tuple[tuple[str, Value], ...]


Node: TypeAlias = Leaf | Items | Pairs | Instance


class StateGraph(msgspec.Struct, frozen=True, array_like=True, tag="whole"):
    """What all caches of a network hold after so many `tokens`: the root is their list."""

    tokens: int
    nodes: tuple[Node, ...]

    @property
    def leaves(self) -> list[Leaf]:
        """Of the arrays that have elements, in their order."""
        return [one for one in self.nodes if isinstance(one, Leaf) and not one.empty]

    @property
    def forms(self) -> frozenset[tuple[str, str, int]]:
        """What arrays the objects have: class and field, type, number of dimensions."""
        inside: list[frozenset[tuple[str, int]]] = []
        found: set[tuple[str, str, int]] = set()
        for node in self.nodes:
            held: frozenset[tuple[str, int]] = frozenset()
            if isinstance(node, Leaf):
                held = frozenset([(node.dtype, len(node.shape))])
            elif isinstance(node, Instance):
                for name, value in node.fields:
                    of_field = inside[value.node] if isinstance(value, Ref) else ()
                    found.update((f"{node.kind}.{name}", *one) for one in of_field)
            else:
                held = held.union(*(inside[value.node] for value in _values(node) if isinstance(value, Ref)))
            inside.append(held)
        return frozenset(found)

    def made_of(self, kinds: Mapping[str, type], dtypes: Mapping[str, int]) -> int | None:
        """How many caches there are, where all of this can be made of such classes and arrays; else None."""
        for place, node in enumerate(self.nodes):
            if any(isinstance(value, Ref) and not 0 <= value.node < place for value in _values(node)):
                return None
            if isinstance(node, Leaf) and (node.dtype not in dtypes or min(node.shape, default=1) < 0):
                return None
            if isinstance(node, Instance) and node.kind not in kinds:
                return None
        root = self.nodes[-1] if self.nodes else None
        return len(root.values) if isinstance(root, Items) and root.of == "list" else None


@dataclass(frozen=True)
class Described:
    """`arrays`: those of the graph's leaves; `kinds`: the classes of its objects."""

    graph: StateGraph
    arrays: tuple[Any, ...]
    kinds: Mapping[str, type]


def describe(caches: Sequence[Any], tokens: int, array: type) -> Described:
    """What these hold after so many tokens; `array` is the class of arrays.

    Raises Undescribed for anything but plain values, arrays, lists, tuples, dictionaries, and objects that are nothing
    but their fields.
    """
    return _Description(array).of(list(caches), tokens)


class _Description:
    def __init__(self, array: type) -> None:
        self._array = array
        self._nodes: list[Node] = []
        self._places: dict[int, int | None] = {}  # by identity; None: under way
        self._arrays: list[Any] = []
        self._kinds: dict[str, type] = {}

    def of(self, root: list[Any], tokens: int) -> Described:
        self._value(root)
        return Described(StateGraph(tokens, tuple(self._nodes)), tuple(self._arrays), self._kinds)

    def _value(self, one: Any) -> Value:
        if one is None or type(one) in (bool, float, str) or (type(one) is int and -_LONGEST <= one < _LONGEST):
            return one  # type: ignore[no-any-return]
        if id(one) not in self._places:
            self._places[id(one)] = None
            self._nodes.append(self._node(one))
            self._places[id(one)] = len(self._nodes) - 1
        place = self._places[id(one)]
        if place is None:
            raise Undescribed("an object holds itself")
        return Ref(place)

    def _node(self, one: Any) -> Node:
        is_array = isinstance(one, self._array)
        if is_array:
            leaf = Leaf(str(one.dtype).rpartition(".")[2], tuple(one.shape))
            if not leaf.empty:
                self._arrays.append(one)
            return leaf
        if type(one) in (list, tuple):
            return Items("list" if type(one) is list else "tuple", tuple(map(self._value, one)))
        if type(one) is dict:
            return Pairs(tuple((_plain(key), self._value(value)) for key, value in one.items()))
        fields = _fields(one)
        kind = f"{type(one).__module__}.{type(one).__qualname__}"
        if self._kinds.setdefault(kind, type(one)) is not type(one):
            raise Undescribed(f"two classes are called {kind}")
        return Instance(kind, tuple((name, self._value(value)) for name, value in fields.items()))


def _plain(key: Any) -> Plain:
    if key is not None and type(key) not in (bool, int, float, str):
        raise Undescribed(f"a key is a {type(key).__name__}")
    return key  # type: ignore[no-any-return]


def _fields(one: Any) -> dict[str, Any]:
    """Of an object that is nothing else, by what Python itself would copy of it."""
    own = [name for name in ("__deepcopy__", "__setstate__") if hasattr(type(one), name)]
    try:
        made, arguments, state, *more = one.__reduce_ex__(4)
    except (TypeError, ValueError) as error:
        raise Undescribed(f"a {type(one).__name__} cannot be copied") from error
    if own or made is not plain_object or arguments != (type(one),) or any(part is not None for part in more):
        raise Undescribed(f"a {type(one).__name__} is more than its fields")
    if not hasattr(one, "__dict__") or (state is not None and type(state) is not dict):
        raise Undescribed(f"a {type(one).__name__} has slots")
    return state or {}


def make(
    graph: StateGraph, arrays: Iterator[Any], kinds: Mapping[str, type], empty: Callable[[Leaf], Any]
) -> list[Any]:
    """The caches that a graph describes, which must be `made_of` these classes, with arrays for its leaves. `empty`
    gives those without elements."""
    made: list[Any] = []

    def value(one: Value) -> Any:
        return made[one.node] if isinstance(one, Ref) else one

    for node in graph.nodes:
        if isinstance(node, Leaf):
            made.append(empty(node) if node.empty else next(arrays))
        elif isinstance(node, Items):
            made.append((list if node.of == "list" else tuple)(map(value, node.values)))
        elif isinstance(node, Pairs):
            made.append({key: value(one) for key, one in node.pairs})
        else:
            instance = plain_object(kinds[node.kind])
            instance.__dict__.update((name, value(one)) for name, one in node.fields)
            made.append(instance)
    caches: list[Any] = made[-1]
    return caches


def _values(node: Node) -> tuple[Value, ...]:
    if isinstance(node, Items):
        return node.values
    if isinstance(node, Pairs):
        return tuple(value for _, value in node.pairs)
    return tuple(value for _, value in node.fields) if isinstance(node, Instance) else ()
