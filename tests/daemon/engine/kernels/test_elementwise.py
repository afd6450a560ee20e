"""What is computed number by number is fused once its kernel is there, where it is faster, and else as before."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import pytest

from mlx_serve.daemon.engine.kernels import elementwise
from mlx_serve.daemon.engine.kernels.elementwise import Elementwise

Function = Callable[[mx.array], mx.array]


class Kernel:
    """In place of what MLX fuses: counted, and missing where that is said."""

    missing = False
    calls = 0

    def __init__(self, function: Callable[[mx.array], list[mx.array]], *, shapeless: bool) -> None:
        assert shapeless, "one kernel is for all shapes"
        self._function = function
        self.proven = False

    def __call__(self, x: mx.array) -> list[mx.array]:
        if Kernel.missing:
            raise RuntimeError("Failed to compile function")
        Kernel.calls += 1
        return self._function(x)


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> type[Kernel]:
    monkeypatch.setattr(elementwise, "Fused", Kernel)
    monkeypatch.setattr(Kernel, "missing", False)
    monkeypatch.setattr(Kernel, "calls", 0)
    return Kernel


def double(x: mx.array) -> mx.array:
    return 2 * x


def used(one: Elementwise) -> bool:
    """Whether a call goes by way of the kernel."""
    before = Kernel.calls
    assert one(mx.array([1.0, 2.0])).tolist() == [2.0, 4.0]
    return Kernel.calls > before


def test_it_is_fused_when_all_kernels_are_there() -> None:
    one = Elementwise(lambda x: x + x, double, lambda *_: True)
    assert not used(one)
    for rows in (1, 2, 3):
        one.attempt(rows)
    assert Kernel.calls == 1 and not used(one)
    one.use_fused()
    assert one.fused and used(one)


def test_it_stays_as_it_is_where_that_is_faster() -> None:
    one = Elementwise(lambda x: x + x, double, lambda *_: False)
    one.attempt(1)
    one.use_fused()
    assert not one.fused and not used(one)


def test_a_kernel_that_is_missing_or_gives_something_else_is_told(kernel: type[Kernel]) -> None:
    with pytest.raises(RuntimeError, match="differs"):
        Elementwise(lambda x: 3 * x, double, lambda *_: True).attempt(1)
    kernel.missing = True
    with pytest.raises(RuntimeError, match="Failed to compile"):
        Elementwise(lambda x: x + x, double, lambda *_: True).attempt(1)


def test_where_a_kernel_is_lost_it_goes_on_without(kernel: type[Kernel], capsys: pytest.CaptureFixture[str]) -> None:
    one = Elementwise(lambda x: x + x, double, lambda *_: True)
    one.attempt(1)
    one.use_fused()
    kernel.missing = True
    assert not used(one) and not one.fused
    assert "compute exponentials unfused: Failed to compile function" in capsys.readouterr().err
