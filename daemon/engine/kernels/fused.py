"""A function of arrays as MLX fuses it, at one combination of shapes, with kernels that are there already."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx

Argument = mx.array | list[mx.array]


class Fused:
    """Called as the function is, and fuses what MLX fuses, though `mx.disable_compile` holds for all else.

    Which kernel MLX takes depends on the graph, and on how the arrays lie in memory when they are computed
    (`mlx/backend/cpu/compiled.cpp`): so that a step never meets one that the steps before have not met, all arrays
    beside the lists, which are the same at each call, are made contiguous first, which they mostly are.
    """

    def __init__(self, function: Callable[..., Sequence[mx.array]], *, shapeless: bool = False) -> None:
        """`shapeless`: traced once for all shapes, which a function that computes number by number allows."""

        def contiguous(*arguments: Argument) -> list[mx.array]:
            return list(function(*(one if isinstance(one, list) else mx.contiguous(one) for one in arguments)))

        self._compiled = mx.compile(contiguous, shapeless=shapeless)
        self.proven = False

    def __call__(self, *arguments: Argument) -> list[mx.array]:
        """The first time, and whenever `proven` is False, the arrays are computed at once. Raises RuntimeError where a
        kernel is missing; the arguments are as they were then."""
        mx.enable_compile()
        try:
            outputs: list[mx.array] = self._compiled(*arguments)
        finally:
            mx.disable_compile()
        if not self.proven:
            mx.eval(outputs)
            self.proven = True
        return outputs


def fusing_works() -> bool:
    """Whether MLX fuses at all in this process: it asks once whether there is a compiler. A compiled function runs once
    for two calls."""
    calls = []

    def identity(x: mx.array) -> mx.array:
        calls.append(x.shape)
        return x

    compiled = mx.compile(identity)
    mx.enable_compile()
    try:
        for _ in range(2):
            compiled(mx.zeros(1))
    finally:
        mx.disable_compile()
    return len(calls) == 1
