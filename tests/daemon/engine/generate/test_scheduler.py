"""Who waits and who starts: order, groups, memory and budgets, without a tensor."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from mlx_serve.daemon.engine.generate.scheduler import Limits, Scheduler


@dataclass(eq=False)
class One:
    id: int
    length: int
    rows: int = 1


def waiting(*lengths: int, **limits: int) -> Scheduler[One]:
    """A scheduler with a queue of these lengths, ids from 0."""
    scheduler: Scheduler[One] = Scheduler(Limits(**({"max_batch": 8} | limits)))
    for number, length in enumerate(lengths):
        scheduler.add(One(number, length))
    return scheduler


def start(
    scheduler: Scheduler[One], *, present: int = 0, longest: int = 0, budget: int = 100, **how: bool
) -> list[int]:
    """The ids of the next group; prompts may be padded unless `how` says otherwise."""
    group = scheduler.next_group(present, longest, budget, **({"padded": True} | how))
    return [one.id for one in group]


def test_first_come_first_served() -> None:
    """A group is the head of the queue, in order, and the rest keeps its order."""
    scheduler = waiting(30, 30, 30, 30, 30)
    assert start(scheduler) == [0, 1, 2]
    assert start(scheduler) == [3, 4]
    assert start(scheduler) == []


def test_a_padded_group_is_counted_with_its_padding() -> None:
    """10 and 40 side by side cost twice 40; a third of 10 would make it 120."""
    assert start(waiting(10, 40, 10)) == [0, 1]
    assert start(waiting(10, 10, 40)) == [0, 1]
    assert start(waiting(50, 50)) == [0, 1]
    assert start(waiting(51, 50)) == [0]


def test_unpadded_groups_are_of_one_length() -> None:
    scheduler = waiting(20, 20, 21, 20)
    assert start(scheduler, padded=False) == [0, 1]
    assert start(scheduler, padded=False) == [2]
    assert start(scheduler, padded=False) == [3]


def test_a_long_prompt_goes_alone_and_is_not_overtaken() -> None:
    """Longer than the budget: nobody joins it, and nobody behind it goes first."""
    scheduler = waiting(5, 500, 5)
    assert start(scheduler) == [0]
    assert start(scheduler) == [1]
    assert start(scheduler) == [2]


def test_alone_takes_one() -> None:
    scheduler = waiting(5, 5)
    assert start(scheduler, alone=True) == [0]
    assert start(scheduler, alone=True) == [1]


def test_places_are_limited() -> None:
    """The group and those present are never more than max_batch."""
    assert start(waiting(1, 1, 1, 1), present=6) == [0, 1]
    assert start(waiting(1, 1), present=8) == []


def test_cache_bytes_follow_how_buffers_grow() -> None:
    """Rows double and lengths grow in steps of the quantum."""
    limits = Limits(max_batch=8, token_bytes=10)
    assert limits.cache_bytes(0, 1000) == 0
    assert limits.cache_bytes(1, 1) == 256 * 10
    assert limits.cache_bytes(1, 257) == 512 * 10
    assert limits.cache_bytes(2, 256) == 2 * 256 * 10
    assert limits.cache_bytes(3, 256) == 4 * 256 * 10
    assert limits.cache_bytes(5, 257) == 8 * 512 * 10


def test_memory_keeps_newcomers_waiting() -> None:
    """Two rows of 256 tokens fit, a third does not, nor a longer one; the one behind it does not overtake."""
    limits = {"token_bytes": 1, "memory": 512}
    assert start(waiting(10, 10, 10, **limits)) == [0, 1]
    assert start(waiting(10, **limits), present=2, longest=10) == []
    assert start(waiting(10, **limits), present=1, longest=255) == [0]
    assert start(waiting(10, **limits), present=1, longest=256) == []
    scheduler = waiting(256, 10, **limits)
    assert start(scheduler, present=1, longest=10) == []
    assert len(scheduler) == 2


def test_too_large_even_alone() -> None:
    """The token that is to be generated counts too."""
    scheduler = waiting(token_bytes=1, memory=512)
    assert not scheduler.never_fits(511)
    assert scheduler.never_fits(512)
    assert not waiting().never_fits(10**9)


def test_a_batch_yields_when_it_outgrows_its_memory() -> None:
    """A lone row too: what it may hold has an end."""
    scheduler = waiting(token_bytes=1, memory=512)
    assert not scheduler.must_yield(2, 255)
    assert scheduler.must_yield(2, 256)
    assert not scheduler.must_yield(1, 511)
    assert scheduler.must_yield(1, 512)
    assert not scheduler.must_yield(0, 0)
    assert not waiting().must_yield(8, 10_000)


def test_whoever_yields_is_next() -> None:
    scheduler = waiting(10, 20)
    scheduler.put_back(One(9, 30))
    assert start(scheduler, budget=1) == [9]


def test_remove_takes_out_the_one_that_waits() -> None:
    scheduler = waiting(1, 2, 3)
    assert scheduler.remove(1)
    assert not scheduler.remove(1)
    assert start(scheduler) == [0, 2]


def test_choices_take_a_row_each() -> None:
    """Two requests of three choices and one of one, in a batch of eight; a fourth waits."""
    scheduler = Scheduler[One](Limits(max_batch=8))
    for number, rows in enumerate((3, 3, 1, 2)):
        scheduler.add(One(number, 5, rows))
    assert len(scheduler) == 9
    assert start(scheduler) == [0, 1, 2, 3]
    assert start(scheduler, present=8) == []


def test_more_choices_than_places() -> None:
    """The request begins as soon as one row is free, alone; its other choices follow."""
    scheduler = Scheduler[One](Limits(max_batch=4))
    scheduler.add(One(1, 5, 10))
    scheduler.add(One(2, 5))
    assert start(scheduler, present=4) == []
    assert start(scheduler, present=3) == [1]


def test_who_may_join() -> None:
    """A free row and memory for one more of the longest; the first may always."""
    scheduler = waiting(token_bytes=1, memory=512, max_batch=3)
    assert scheduler.may_join(0, 10_000)
    assert scheduler.may_join(1, 255)
    assert not scheduler.may_join(1, 256)
    assert not scheduler.may_join(3, 10)


@pytest.mark.parametrize("seed", range(20))
def test_every_random_day(seed: int) -> None:
    """Whatever comes and goes: order, places, memory and budget hold, and everybody starts in the end."""
    chance = random.Random(seed)
    limits = Limits(max_batch=4, token_bytes=1, memory=2048)
    scheduler: Scheduler[One] = Scheduler(limits)
    queue: list[int] = []
    running: list[One] = []
    for number in range(200):
        one = One(number, chance.randint(1, 700))
        scheduler.add(one)
        queue.append(number)
        if chance.random() < 0.1:
            gone = chance.choice(queue)
            queue.remove(gone)
            assert scheduler.remove(gone)
        padded, budget = chance.random() < 0.5, 64 if running else 256
        longest = max((one.length for one in running), default=0)
        group = scheduler.next_group(len(running), longest, budget, padded=padded)
        assert [one.id for one in group] == queue[: len(group)]
        del queue[: len(group)]
        running += group
        widest = max((one.length for one in group), default=0)
        assert len(running) <= limits.max_batch
        assert not group or limits.fits(len(running), max(longest, widest) + 1)
        assert len(group) <= 1 or widest * len(group) <= budget
        assert padded or len({one.length for one in group}) <= 1
        chance.shuffle(running)
        del running[: chance.randint(0, len(running))]
    while len(scheduler):
        group = scheduler.next_group(0, 0, 64, padded=True)
        assert group
        queue = queue[len(group) :]
    assert queue == []
