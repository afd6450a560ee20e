"""Which of two ways to compute the same is faster here."""

from __future__ import annotations

import time
from collections.abc import Callable

import mlx.core as mx

MEASUREMENTS = 5
REPEATS = 3
"""Of those measurements, while they say no: beside many other programs five may all have been disturbed, and what is
decided here holds as long as the process lives."""

Way = Callable[[], mx.array]


def faster(one: Way, other: Way, share: float) -> bool:
    """Whether one takes at most this share of the other's time."""
    return ratio(one, other, share) <= share


def ratio(one: Way, other: Way, share: float) -> float:
    """Of one's time to the other's: the best of some runs in turns, for others use the processor too, and of more of
    them while it is above `share`."""
    best = other_best = float("inf")
    for _ in range(REPEATS):
        for _ in range(MEASUREMENTS):
            best, other_best = min(best, _seconds(one)), min(other_best, _seconds(other))
        if best <= share * other_best:
            break
    return best / other_best


def _seconds(way: Way) -> float:
    began = time.perf_counter()
    mx.eval(way())
    return time.perf_counter() - began
