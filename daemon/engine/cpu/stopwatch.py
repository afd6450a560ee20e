"""Which of two ways to compute the same is faster here."""

from __future__ import annotations

import time
from collections.abc import Callable

import mlx.core as mx

MEASUREMENTS = 5

Way = Callable[[], mx.array]


def faster(one: Way, other: Way, share: float) -> bool:
    """Whether one takes at most this share of the other's time: the best of some runs in turns, for others use the
    processor too."""
    times = [(_seconds(one), _seconds(other)) for _ in range(MEASUREMENTS)]
    return min(first for first, _ in times) <= share * min(second for _, second in times)


def _seconds(way: Way) -> float:
    began = time.perf_counter()
    mx.eval(way())
    return time.perf_counter() - began
