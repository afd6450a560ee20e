"""What is fused and what is replayed, in a process that has no compiler afterwards.

usage: fused_function ROOT FOLDER COMPILED    how many kernels have to be compiled; FOLDER is for temporary files
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_serve.daemon.engine.cpu.exponentials import exp2
from mlx_serve.daemon.engine.kernels import kernel_process
from mlx_serve.daemon.engine.kernels.elementwise import Elementwise
from mlx_serve.daemon.engine.kernels.fused import Fused
from mlx_serve.daemon.engine.kernels.fusing import Fusing
from mlx_serve.daemon.engine.model.replayed import Replayed


def gated(own: list[mx.array], x: mx.array) -> Sequence[mx.array]:
    return [mx.exp(x) * x + mx.sigmoid(x)]


def other(own: list[mx.array], x: mx.array) -> Sequence[mx.array]:
    return [mx.exp(x) * x - mx.sigmoid(x)]


def power(x: mx.array) -> mx.array:
    return mx.exp(x * 0.6931471805599453)


def logistic(x: mx.array) -> mx.array:
    return 1.0 / (1.0 + mx.exp(-x))


def rest(fusing: Fusing) -> None:
    while (seconds := fusing()) is not None:
        time.sleep(seconds)


def close(one: mx.array, other: mx.array) -> bool:
    return bool(mx.allclose(one, other, rtol=1e-5, atol=1e-6))


def missing(outputs: Any) -> bool:
    """Whether there is no kernel for what is to be computed."""
    try:
        mx.eval(outputs())
    except RuntimeError as error:
        assert "Failed to compile" in str(error)
        return True
    return False


def fuse_one(root: Path, compiled: int) -> None:
    """One kernel for any number of rows, and for arrays that lie otherwise in memory; and what computes number by
    number."""
    weights: list[mx.array] = []
    x, spread = mx.random.normal((2, 8)), mx.random.normal((2, 16))[:, ::2]
    replayed = Replayed(gated)
    plain = [replayed(weights, one)[0] for one in (x, spread)]
    numbers = [Elementwise(*ways, lambda *_: True) for ways in ((power, exp2), (logistic, mx.sigmoid))]
    fusing = Fusing([replayed, *numbers], 2, root, lambda: False)
    rest(fusing)
    assert len(fusing.compiled) == compiled, fusing.compiled
    assert replayed.fused
    for one, expected in zip((x, spread), plain, strict=True):
        assert close(replayed(weights, one)[0], expected)
    assert replayed.fused, "and was not given up"
    for one, plainly in zip(numbers, (exp2, mx.sigmoid), strict=True):
        turned = mx.linspace(-80, 0, 30).reshape(3, 1, 10).swapaxes(0, 2)
        for y in (-mx.abs(spread), turned, mx.array([-mx.inf, mx.nan])):
            found = one(y)
            assert found.shape == y.shape and mx.allclose(found, plainly(y), rtol=1e-5, atol=1e-30, equal_nan=True)
        assert one.fused
    assert missing(lambda: Fused(other)(weights, x))
    mx.enable_compile()
    as_it_lies = mx.compile(lambda y: gated([], y))(spread)
    mx.disable_compile()
    assert missing(lambda: as_it_lies), "which would have taken another one"


def main() -> None:
    root, folder, compiled = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    os.environ["TMPDIR"] = str(folder)
    kernel_process.NICE = 0
    mx.set_default_device(mx.cpu)
    mx.disable_compile()
    fuse_one(root, compiled)
    if not compiled:
        from support.missed_kernels import miss_in_steps  # mlx_lm takes a second to import

        miss_in_steps(folder)


if __name__ == "__main__":
    main()
