"""A function of the numbers of an array, each by itself, in one pass over them once its kernel is there."""

from __future__ import annotations

import sys
from collections.abc import Callable

import mlx.core as mx

from .fused import Fused

CLOSE = 1e-5
"""How far what is fused may be from what is not, as a part of the greatest number."""
_TRIED = 1 << 16

Function = Callable[[mx.array], mx.array]


class Elementwise:
    """What `plain` gives, float32 of any shape, by way of `function`, which MLX fuses; until the engine has the kernel
    (`fusing`), and where that is not faster on this machine, by `plain` itself."""

    def __init__(self, function: Function, plain: Function, faster: Callable[..., bool]) -> None:
        """`faster(one, other, share)`: whether one way takes at most this share of the other's time."""
        self._function = function
        self._plain = plain
        self._faster = faster
        self._fused: Fused | None = None
        self._attempted: Fused | None = None

    @property
    def fused(self) -> bool:
        return self._fused is not None

    def __call__(self, x: mx.array) -> mx.array:
        if self._fused is not None:
            try:
                return self._fused(x)[0]
            except RuntimeError as error:  # only with what is proven first: a kernel is missing, against expectation
                self._fused = None
                sys.stderr.write(f"compute exponentials unfused: {' '.join(str(error).split())[:300]}\n")
                sys.stderr.flush()
        return self._plain(x)

    def attempt(self, rows: int) -> None:
        """One kernel is for all shapes. Raises RuntimeError where it is missing, or computes something else."""
        if rows > 1:
            return
        x = mx.linspace(-80.0, 0.0, _TRIED)
        fused = Fused(lambda numbers: [self._function(numbers)], shapeless=True)
        expected = self._plain(x)
        if not mx.abs(fused(x)[0] - expected).max() <= CLOSE * mx.abs(expected).max():
            raise RuntimeError("what is fused differs from what is not")
        self._attempted = fused

    def use_fused(self) -> None:
        """From now on, if it is faster. Call it between answers, not within one."""
        x, attempted = mx.linspace(-80.0, 0.0, _TRIED), self._attempted
        mx.eval(x)
        if attempted is not None and self._faster(lambda: attempted(x)[0], lambda: self._plain(x), 1.0):
            attempted.proven = False  # once more, with what is computed really
            self._fused = attempted
