"""Whose prefill goes on: short ones first, and nobody for ever last."""

from __future__ import annotations

import random
from dataclasses import dataclass

from mlx_serve.daemon.engine.generate.prefilling.turns import PASSES, Turns


@dataclass(eq=False)
class Job:
    remaining: int


def test_the_shortest_remaining_one_goes_first() -> None:
    turns: Turns[Job] = Turns()
    long, short = Job(1000), Job(3)
    turns.add(long)
    turns.add(short)
    assert turns.next() is short
    turns.remove(short)
    assert turns.next() is long


def test_nobody_is_passed_over_more_often_than_allowed() -> None:
    """With short ones for ever at hand, the long one has every (PASSES + 1)-th turn."""
    turns: Turns[Job] = Turns()
    long = Job(10**6)
    turns.add(long)
    taken = []
    for _ in range(100):
        newcomer = Job(1)
        turns.add(newcomer)
        taken.append(turns.next() is long)
        turns.remove(newcomer)
    assert sum(taken) == 100 // (PASSES + 1)


def test_everybody_ends_whatever_comes() -> None:
    """Random arrivals: each one is served to its end, and the empty queue gives nobody."""
    chance = random.Random(4)
    turns: Turns[Job] = Turns()
    left = [Job(chance.randint(1, 50)) for _ in range(200)]
    while left or len(turns):
        if left and chance.random() < 0.5:
            turns.add(left.pop())
        job = turns.next()
        if job is not None:
            job.remaining -= 5
            if job.remaining <= 0:
                turns.remove(job)
    assert turns.next() is None
    assert list(turns) == []
