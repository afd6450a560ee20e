"""A function by its graph: the same arrays come out, and the function itself runs once for each shape."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx
import psutil
import pytest

from mlx_serve.daemon.engine.kernels.fused import Argument, Fused
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


class Product:
    """A product alone: MLX fuses nothing of it, so that it needs no kernel."""

    def __call__(self, own: list[mx.array], x: mx.array, offsets: mx.array) -> Sequence[mx.array]:
        return (x @ own[0], offsets.reshape(-1, 1))


@pytest.fixture
def product() -> Replayed:
    graph = Replayed(Product())
    graph(*arguments(2, 1))
    return graph


def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each call of a fused function."""
    rows: list[int] = []
    plain = Fused.__call__

    def call(self: Fused, *given: Argument) -> list[mx.array]:
        assert isinstance(given[1], mx.array)
        rows.append(given[1].shape[0])
        return plain(self, *given)

    monkeypatch.setattr(Fused, "__call__", call)
    return rows


def test_what_was_attempted_is_fused_once_it_is_said(product: Replayed, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the numbers of rows that were attempted; the others are replayed."""
    rows = counting(monkeypatch)
    product.attempt(1)
    product.attempt(2)
    product(*arguments(1, 1))
    assert rows == [1, 2]
    product.use_fused()
    for count in (1, 2, 3):
        given = arguments(count, 4)
        for one, other in zip(product(*given), Product()(*given), strict=True):
            assert mx.array_equal(one, other)
    assert rows == [1, 2, 1, 2]


def missing(*arrays: object) -> list[mx.array]:
    raise RuntimeError("[Compile::eval_cpu] Failed to compile function")


def test_a_kernel_that_is_missing_after_all_fails_nobody(
    product: Replayed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first call with what is computed really is computed at once, and the same arrays are replayed then: and so
    from then on, with one line for the log."""
    product.attempt(1)
    product.use_fused()
    evaluate = mx.eval
    monkeypatch.setattr(mx, "eval", missing)
    given = arguments(1, 3)
    given = (given[0], given[1] * 2, given[2])
    found = product(*given)
    monkeypatch.setattr(mx, "eval", evaluate)
    rows = counting(monkeypatch)
    for outputs in (found, product(*given)):
        for one, other in zip(outputs, Product()(*given), strict=True):
            assert mx.array_equal(one, other)
    assert not rows
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "replay decode steps again: [Compile::eval_cpu] Failed to compile function"


def test_a_kernel_that_computes_something_else_is_not_used(product: Replayed, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a broken compiler would make it."""
    monkeypatch.setattr(Fused, "__call__", lambda self, own, x, offsets: [x @ own[0] * 1.2, offsets.reshape(-1, 1)])
    with pytest.raises(RuntimeError, match="differs from what is not"):
        product.attempt(2)


def test_what_was_never_called_is_not_in_use() -> None:
    assert not Replayed(Product()).used


def test_fusing_is_off_for_all_others() -> None:
    """While a fused function is traced and afterwards: what MLX's own libraries compile would call the compiler."""
    calls = []

    def counted(x: mx.array) -> mx.array:
        calls.append(x.shape)
        return x

    other = mx.compile(counted)
    product = Replayed(Product())
    product(*arguments(2, 1))
    product.attempt(2)
    for _ in range(2):
        other(mx.zeros(1))
    assert len(calls) == 2
