"""Which layers may share what was traced with the code of one of them: those of which nothing that it reads differs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest

from mlx_serve.daemon.engine.model.blueprint import kind_of
from mlx_serve.daemon.engine.model.joined import Part, _Product


class Numbered(nn.Module):
    """Its number is never read."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.norm = nn.RMSNorm(4)

    def __call__(self, x: mx.array) -> mx.array:
        output: mx.array = self.norm(x)
        return output


class Scaled(Numbered):
    def __call__(self, x: mx.array) -> mx.array:
        return x * self.number


class ByName(Numbered):
    def __call__(self, x: mx.array) -> mx.array:
        return x * getattr(self, "number")  # noqa: B009 - what this is about


class InAFunctionOfItsOwn(Numbered):
    def __call__(self, x: mx.array) -> mx.array:
        return (lambda: x * self.number)()


def _multiplied(layer: Any, x: mx.array) -> mx.array:
    return x * layer.number  # type: ignore[no-any-return]


class Handed(Numbered):
    """To a function that is no part of the class."""

    def __call__(self, x: mx.array) -> mx.array:
        return _multiplied(self, x)


class Opaque(Numbered):
    """With a method of which nobody can see the code."""

    times = mx.compile(lambda self, x: x * self.number)


class Listed(nn.Module):
    """With arrays that lie in a list."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.tables = [mx.full((4,), number)]

    def __call__(self, x: mx.array) -> mx.array:
        return x * self.tables[0]


def split(number: int) -> nn.Module:
    """Two layers joined in one, one of which is as wide as the number."""
    layer = Numbered(0)
    layer.joined = nn.Linear(4, 12, bias=False)
    layer.part = Part(_Product(layer.joined, [number, 12 - number]), 0)  # type: ignore[assignment]
    return layer


def test_a_number_that_nobody_reads_is_no_difference() -> None:
    assert kind_of(Numbered(1)) == kind_of(Numbered(2))


@pytest.mark.parametrize("layer", [Scaled, ByName, InAFunctionOfItsOwn, Handed, Opaque, Listed, split])
def test_what_the_code_may_read_is_one(layer: Callable[[int], nn.Module]) -> None:
    """However it reads it."""
    assert kind_of(layer(4)) != kind_of(layer(5))


def test_another_class_or_another_shape_is_one() -> None:
    assert kind_of(Numbered(1)) != kind_of(Scaled(1))
    wide = Numbered(1)
    wide.norm = nn.RMSNorm(8)
    assert kind_of(wide) != kind_of(Numbered(1))
    assert kind_of(Scaled(4)) == kind_of(Scaled(4))


def test_a_part_of_a_function_hides_nothing() -> None:
    class Partial(Numbered):
        times = partial(_multiplied)

    assert kind_of(Partial(4)) != kind_of(Partial(5))
