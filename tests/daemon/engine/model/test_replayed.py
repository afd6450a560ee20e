"""A function by its graph: the same arrays come out, and the function itself runs once for each shape."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx
import psutil
import pytest

from mlx_serve.daemon.engine.model.replayed import Replayed, replayed


class Counted:
    """What it keeps is part of the graph; what it is given is not."""

    def __init__(self) -> None:
        self.calls = 0
        self.kept = mx.arange(3, dtype=mx.float32) / 7

    def __call__(self, own: list[mx.array], x: mx.array, offsets: mx.array) -> Sequence[mx.array]:
        self.calls += 1
        weight, bias = own
        return x @ weight + bias, (x * self.kept).sum(axis=-1) + offsets


def arguments(rows: int, seed: int) -> tuple[list[mx.array], mx.array, mx.array]:
    mx.random.seed(seed)
    return [mx.random.normal((3, 3)), mx.random.normal((3,))], mx.random.normal((rows, 3)), mx.arange(rows) + seed


def test_it_gives_what_the_function_gives() -> None:
    """For other arrays than those that it was recorded with, the ones in the list too."""
    function, plain = Counted(), Counted()
    graph = Replayed(function)
    for rows, seed in ((1, 1), (4, 2), (1, 3), (4, 4)):
        given = arguments(rows, seed)
        for one, other in zip(graph(*given), plain(*given), strict=True):
            assert mx.array_equal(one, other)
    assert function.calls == 2


def test_another_type_is_recorded_anew() -> None:
    function = Counted()
    graph = Replayed(function)
    own, x, offsets = arguments(2, 1)
    half = [one.astype(mx.float16) for one in own]
    assert graph(own, x, offsets)[0].dtype == mx.float32
    assert graph(half, x.astype(mx.float16), offsets)[0].dtype == mx.float16
    assert function.calls == 2


def open_files() -> int:
    return psutil.Process().num_fds()


def test_what_the_function_raises_comes_through_and_nothing_is_left() -> None:
    """As a layer's code does that cannot be cut; the next call tries again."""

    class Refused(Exception):
        pass

    def refuse(x: mx.array) -> Sequence[mx.array]:
        raise Refused

    before = open_files()
    graph = Replayed(refuse)
    for _ in range(3):
        with pytest.raises(Refused):
            graph(mx.zeros(1))
    assert open_files() == before


def test_a_system_without_files_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    given = arguments(2, 5)
    for one, other in zip(Replayed(Counted())(*given), Counted()(*given), strict=True):
        assert mx.array_equal(one, other)
    assert not list(tmp_path.iterdir())


def test_a_cpu_replays_and_compiles_nothing() -> None:
    assert isinstance(replayed(Counted()), Replayed)
