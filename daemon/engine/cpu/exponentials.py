"""Exponentials by arithmetic that the processor does for many numbers at once.

MLX's wheels for Linux CPUs compute `exp` number by number and call libm's `fmaf` for each step of it, 13 ns a number,
which is almost half of what reading a prompt takes. A sum or product of arrays takes 0.3 ns a number, so some fifteen
of them are three to four times faster, and as exact. Where the machine has a C++ compiler, a kernel of its own does it
in one pass, once the model has rested (`kernels.elementwise`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx

from ..kernels.elementwise import Elementwise
from .stopwatch import faster

MEASURED = 1 << 16
PAYS = 0.7

LOG2_E = 1.4426950408889634
_LN_2 = 0.6931471805599453

WORTHWHILE = 1 << 14
"""So many numbers at least: an operation of MLX costs a few microseconds whatever its size is."""

WHOLE = 1 << 19
"""Up to so many numbers at once; more go in blocks, which stay in the processor's cache between two operations."""

BLOCK = 1 << 16

_ROUNDING = (
    12582912.0  # 1.5 * 2^23: what is added to it has no room for a fraction, and its lowest bits are the integer
)
_MANTISSA = 23
_LEAST, _MOST = -126.0, 126.0
_POWERS = (1.0, 0.6931469776, 0.2402224206, 0.0555073378, 0.0096715137, 0.0013264715)
"""2^f for f in [-1/2, 1/2], lowest power first: least squares, weighted until the largest error is least, 9e-8."""


def exp2(x: mx.array) -> mx.array:
    """2^x for float32 up to 126, to one part in a million; for less than -126 it is 2^-126."""
    x = mx.maximum(x, _LEAST)
    rounded = x + _ROUNDING
    fraction = x - (rounded - _ROUNDING)
    *lower, power = _POWERS
    result: Any = power
    for coefficient in reversed(lower):
        result = result * fraction + coefficient
    # A float's exponent is in the bits above its mantissa: adding an integer there multiplies by that power of two.
    shifted = mx.left_shift(rounded.view(mx.int32), _MANTISSA)
    power_of_two: mx.array = (result.view(mx.int32) + shifted).view(mx.float32)
    return power_of_two


class Sigmoid:
    """In place of `mx.sigmoid`, which gated layers call by that name."""

    def __init__(self, plain: Callable[..., mx.array]) -> None:
        self._plain = plain

    def __call__(self, x: mx.array, /, **options: Any) -> mx.array:
        if options or not isinstance(x, mx.array) or x.dtype != mx.float32 or x.size < WORTHWHILE:
            return self._plain(x, **options)
        return LOGISTIC(x)


def _in_blocks(x: mx.array) -> mx.array:
    if x.size <= WHOLE:
        return _sigmoid(x)
    flat = x.reshape(-1)
    parts = [_sigmoid(flat[begin : begin + BLOCK]) for begin in range(0, x.size, BLOCK)]
    return mx.concatenate(parts).reshape(x.shape)


def _sigmoid(x: mx.array) -> mx.array:
    return 1.0 / (1.0 + exp2(mx.minimum(x * -LOG2_E, _MOST)))


POWER = Elementwise(lambda x: mx.exp(x * _LN_2), exp2, faster)
"""2^x for float32 that is not positive."""

LOGISTIC = Elementwise(lambda x: 1.0 / (1.0 + mx.exp(-x)), _in_blocks, faster)
"""The sigmoid of float32."""


def pay() -> bool:
    """Whether they are faster than MLX's own on this machine. Takes some 10 ms."""
    x = mx.zeros((MEASURED,))
    mx.eval(x)
    return faster(lambda: exp2(x), lambda: mx.exp(x), PAYS)
