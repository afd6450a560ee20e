"""What objects hold is written down and made again, shared parts shared; anything else is refused."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import msgspec
import pytest

from mlx_serve.daemon.engine.prefix.disk.tensor import WIDTHS
from mlx_serve.daemon.engine.prefix.state_graph import Leaf, StateGraph, Undescribed, describe, make


class Held:
    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


class Slotted:
    __slots__ = ("field",)


class Copying:
    def __deepcopy__(self, copied: dict[int, Any]) -> Copying:
        return self


class Listed(list[int]):
    pass


class Colour(enum.Enum):
    RED = 1


def through(caches: list[Any]) -> list[Any]:
    """Described, written, read and made again."""
    described = describe(caches, 3, mx.array)
    graph = msgspec.msgpack.decode(msgspec.msgpack.encode(described.graph), type=StateGraph)
    assert graph == described.graph and graph.made_of(described.kinds, WIDTHS) == len(caches)
    assert [one.shape for one in graph.leaves] == [tuple(one.shape) for one in described.arrays]
    return make(graph, iter(described.arrays), described.kinds, lambda leaf: mx.zeros(leaf.shape))


def test_values_come_back_as_they_were() -> None:
    """Of every type, to the last bit, in lists, tuples and dictionaries within each other."""
    plain = [None, True, False, 0, 1, -(2**63), 2**63 - 1, 0.1, -0.0, 1.0, float("inf"), "", "é", (), [], {}]
    fields = {"deep": {"a": [(1, {2: (3.0,)})], None: 0, 1.5: "x", True: []}, "plain": plain}
    (one,) = through([Held(**fields)])
    assert type(one) is Held and repr(one.__dict__) == repr(fields)


def test_what_is_shared_stays_shared() -> None:
    """Arrays, lists and objects; an array without elements is no tensor and comes back all the same."""
    array, empty = mx.arange(6).reshape(1, 2, 3), mx.zeros((1, 0, 4))
    inner = Held(array=array)
    described = describe([Held(inner=inner, array=array, empty=empty), Held(inner=inner, both=[array])], 3, mx.array)
    assert len(described.arrays) == 1 and len(described.kinds) == 1
    first, second = through([Held(inner=inner, array=array, empty=empty), Held(inner=inner, both=[array])])
    assert first.inner is second.inner and first.inner is not inner
    assert first.array is second.both[0] is first.inner.array is array and first.empty.shape == (1, 0, 4)


def itself() -> Held:
    one = Held()
    one.list = [one]
    return one


REFUSED: dict[str, Callable[[], Any]] = {
    "a set": lambda: {1},
    "bytes": lambda: b"x",
    "a large number": lambda: 2**63,
    "a function": lambda: test_values_come_back_as_they_were,
    "a class": lambda: Held,
    "a module": lambda: mx,
    "a type of arrays": lambda: mx.float32,
    "slots": Slotted,
    "its own copy": Copying,
    "a list of another class": lambda: Listed([1]),
    "an enumeration": lambda: Colour.RED,
    "a range": lambda: range(3),
    "a key": lambda: {(1, 2): 3},
    "itself": itself,
    "a generator": lambda: (one for one in ()),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_node_is_for_is_refused(name: str) -> None:
    with pytest.raises(Undescribed):
        describe([Held(field=REFUSED[name]())], 3, mx.array)


def test_two_classes_of_one_name_are_refused() -> None:
    other = type("Held", (), {"__module__": Held.__module__})
    with pytest.raises(Undescribed):
        describe([Held(), other()], 3, mx.array)


def test_forms_are_of_fields() -> None:
    """Of the class that has them, through lists and dictionaries, each once."""
    inner = Held(states=[None, {"a": mx.zeros((1, 2), mx.float16)}])
    graph = describe([Held(inner=inner, keys=mx.zeros((1, 2, 3))), inner], 3, mx.array).graph
    kind = f"{__name__}.Held"
    assert graph.forms == {(f"{kind}.keys", "float32", 3), (f"{kind}.states", "float16", 2)}


def test_a_graph_that_contradicts_itself_is_told() -> None:
    """References to what comes later or is not there, types and shapes that there are not, unknown classes."""
    described = describe([Held(array=mx.zeros((1, 2)))], 3, mx.array)
    leaf, instance, root = described.graph.nodes
    kinds = described.kinds
    for nodes in (
        (),
        (instance, leaf, root),
        (leaf, root),
        (leaf, instance),
        (Leaf("float77", (1, 2)), instance, root),
        (Leaf("float32", (1, -2)), instance, root),
        (leaf, msgspec.structs.replace(instance, kind="builtins.eval"), root),
        (leaf, instance, msgspec.structs.replace(root, of="tuple")),
    ):
        assert StateGraph(3, nodes).made_of(kinds, WIDTHS) is None
    assert described.graph.made_of(kinds, WIDTHS) == 1
