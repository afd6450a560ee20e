"""Exponentials by arithmetic are as exact as MLX's own, and stand in for them only where they pay."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from mlx_serve.daemon.engine.cpu import exponentials, few_rows, stand_ins, stopwatch
from mlx_serve.daemon.engine.cpu.block_attention import Attention
from mlx_serve.daemon.engine.cpu.exponentials import WORTHWHILE, Sigmoid, exp2
from mlx_serve.daemon.engine.cpu.rotation import Rotation

INFINITY = float("inf")


def test_powers_of_two_are_exact_to_one_part_in_a_million() -> None:
    x = np.concatenate([np.linspace(-126, 126, 200_001), np.linspace(-1, 1, 20_001)]).astype(np.float32)
    expected = np.exp2(x.astype(np.float64))
    assert np.max(np.abs(np.array(exp2(mx.array(x))) / expected - 1)) < 1e-6


def test_integers_are_powers_to_the_bit() -> None:
    x = np.arange(-126, 127, dtype=np.float32)
    assert (np.array(exp2(mx.array(x))) == np.exp2(x)).all()


def test_what_is_hidden_is_nothing_and_no_number_stays_none() -> None:
    least, hidden, none = exp2(mx.array([-200.0, -INFINITY, float("nan")])).tolist()
    assert least == hidden == 2.0**-126
    assert none != none


def test_the_sigmoid_is_that_of_mlx() -> None:
    x = mx.concatenate([mx.linspace(-200, 200, WORTHWHILE), mx.array([INFINITY, -INFINITY, 0.0])])
    plain = mx.sigmoid
    found, expected = np.array(Sigmoid(plain)(x)), np.array(plain(x))
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-37)
    assert found[-3:].tolist() == [1.0, pytest.approx(0.0, abs=1e-37), 0.5]
    assert np.isnan(np.array(Sigmoid(plain)(mx.full((WORTHWHILE,), float("nan"))))).all()


def test_many_numbers_go_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """In their places, with a rest, and where they do not lie one after the other."""
    monkeypatch.setattr(exponentials, "WHOLE", WORTHWHILE)
    monkeypatch.setattr(exponentials, "BLOCK", 1000)
    x = mx.random.normal((3, 101, 77)).swapaxes(0, 2)
    found = Sigmoid(mx.sigmoid)(x)
    assert found.shape == x.shape
    np.testing.assert_allclose(np.array(found), np.array(mx.sigmoid(x)), rtol=2e-6)


@pytest.mark.parametrize(
    "x", [mx.zeros((WORTHWHILE - 1,)), mx.zeros((WORTHWHILE,), dtype=mx.bfloat16), mx.zeros((0,)), 0.5]
)
def test_few_numbers_and_other_types_are_mlx_s(x: mx.array | float) -> None:
    asked = []
    Sigmoid(lambda value: asked.append(value) or mx.sigmoid(value))(x)
    assert len(asked) == 1


def test_what_is_faster_is_measured_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best runs of both count: one that was disturbed does not."""
    times = iter([9.0, 1.0, 0.5, 9.0, 9.0, 1.1, 9.0, 1.0, 0.6, 9.0])
    monkeypatch.setattr(stopwatch, "_seconds", lambda way: next(times))
    assert stopwatch.faster(lambda: mx.zeros(1), lambda: mx.zeros(1), 0.5)
    times = iter([9.0, 1.0, 0.5, 9.0, 9.0, 1.1, 9.0, 1.0, 0.6, 9.0] * stopwatch.REPEATS)
    assert not stopwatch.faster(lambda: mx.zeros(1), lambda: mx.zeros(1), 0.4)
    assert next(times, None) is None


def test_what_was_disturbed_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As beside many other programs, where all of the first measurements say nothing."""
    times = iter([9.0, 1.0] * 5 + [0.3, 1.0] * 5)
    monkeypatch.setattr(stopwatch, "_seconds", lambda way: next(times))
    assert stopwatch.faster(lambda: mx.zeros(1), lambda: mx.zeros(1), 0.5)


@pytest.fixture
def names() -> Iterator[None]:
    """The names that are exchanged have afterwards what they had before."""
    sigmoid, attention, rope = mx.sigmoid, mx.fast.scaled_dot_product_attention, mx.fast.rope
    yield
    mx.sigmoid, mx.fast.scaled_dot_product_attention, mx.fast.rope = sigmoid, attention, rope


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("pays", [False, True])
def test_they_are_exchanged_once_and_where_it_pays(monkeypatch: pytest.MonkeyPatch, pays: bool) -> None:
    monkeypatch.setattr(stand_ins, "pay", lambda: pays)
    for _ in range(2):
        stand_ins.install_for_cpu()
        assert isinstance(mx.sigmoid, Sigmoid) is pays
        assert isinstance(mx.fast.scaled_dot_product_attention, Attention) is pays
        assert isinstance(mx.fast.rope, Rotation) is pays
        assert not pays or not isinstance(mx.sigmoid._plain, Sigmoid)


@pytest.mark.usefixtures("names")
def test_a_load_finds_measured_what_layers_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process does so while it waits for its model, once."""
    few_rows.rows_that_pay.cache_clear()
    stand_ins.install_for_cpu()
    monkeypatch.setattr(few_rows, "faster", lambda *_: pytest.fail("it is measured now"))
    few_rows.use_tiles(nn.Linear(8, 8))


@pytest.mark.usefixtures("names")
def test_nothing_is_exchanged_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_ins, "backend", lambda: "metal")
    monkeypatch.setattr(stand_ins, "pay", lambda: pytest.fail("nothing to measure"))
    stand_ins.install_for_cpu()
