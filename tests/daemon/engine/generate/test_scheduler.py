"""Who waits and who starts: order, groups, memory and budgets, without a tensor."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest

from mlx_serve.daemon.engine.cache.capacity import Costs, RowBytes
from mlx_serve.daemon.engine.generate.memory.ledger import CacheLedger, Occupancy
from mlx_serve.daemon.engine.generate.scheduler import Scheduler


@dataclass(eq=False)
class One:
    id: int
    length: int
    rows: int = 1
    alone: bool = False
    start: int = 0
    earliest: int = 0
    deferred: bool = False


def scheduler(*, max_batch: int = 8, memory: int | None = None) -> Scheduler[One]:
    """A token takes one byte, a second forward pass as much as all else: rows share one bucket."""
    return Scheduler(max_batch, CacheLedger(memory, Costs(RowBytes(1), 1 << 40)))


def waiting(*lengths: int, **limits: Any) -> Scheduler[One]:
    """A scheduler with a queue of these lengths, ids from 0."""
    made = scheduler(**limits)
    for number, length in enumerate(lengths):
        made.add(One(number, length))
    return made


def start(scheduler: Scheduler[One], *, present: int = 0, longest: int = 0, budget: int = 100, **how: Any) -> list[int]:
    """The ids of the next group beside rows of one length; prompts may be padded unless `how` says otherwise."""
    group = scheduler.next_group(Occupancy((longest,) * present), budget, **({"padded": True} | how))
    return [one.id for one in group]


def test_first_come_first_served() -> None:
    """A group is the head of the queue, in order, and the rest keeps its order."""
    scheduler = waiting(30, 30, 30, 30, 30)
    assert start(scheduler) == [0, 1, 2]
    assert start(scheduler) == [3, 4]
    assert start(scheduler) == []


def test_a_group_may_be_larger_than_what_one_prompt_reads_in_a_step() -> None:
    """Where nobody decodes; one that needs several steps goes alone all the same, and none joins it."""
    assert start(waiting(30, 30, 30, 30, 30, 30, 30), together=200) == [0, 1, 2, 3, 4, 5]
    assert start(waiting(101, 30, 30), together=300) == [0]
    assert start(waiting(30, 101, 30), together=400) == [0]


def test_a_padded_group_is_counted_with_its_padding() -> None:
    """10 and 40 side by side cost twice 40; a third of 10 would make it 120."""
    assert start(waiting(10, 40, 10)) == [0, 1]
    assert start(waiting(10, 10, 40)) == [0, 1]
    assert start(waiting(50, 50)) == [0, 1]
    assert start(waiting(51, 50)) == [0]


def test_a_group_begins_where_the_first_of_them_has_something_new() -> None:
    """Those that would have to be read from too far before stay behind; and all that is read again counts."""

    def made(*starts: int) -> Scheduler[One]:
        queue = scheduler()
        for number, begin in enumerate(starts):
            queue.add(One(number, 60, start=begin, earliest=max(0, begin - 16)))
        return queue

    assert start(made(35, 35, 34, 36)) == [0, 1, 2]
    assert start(made(40, 40, 34, 36)) == [0, 1, 2]
    assert start(made(40, 39, 36, 46)) == [0, 1, 2, 3]
    assert start(made(50, 34, 50)) == [0, 1, 2]
    assert start(made(50, 33, 50)) == [0]
    assert start(made(33, 50, 33)) == [0]
    assert start(made(40, 40, 40, 40, 30), budget=100) == [0, 1, 2, 3]


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


def test_memory_keeps_newcomers_waiting() -> None:
    """The rows of the batch, the newcomer's own row and its prefill all have to fit."""
    full = waiting(10, memory=3 * 256 - 1)
    assert start(full, present=1, longest=200) == []
    assert start(waiting(10, memory=3 * 256), present=1, longest=200) == [0]
    assert start(waiting(10, 10, memory=3 * 256), present=1, longest=200) == [0]
    longer = waiting(300, 10, memory=4 * 512)
    assert start(longer, present=3, longest=10) == []
    assert len(longer) == 2


def test_too_large_even_alone() -> None:
    """The token that is to be generated counts, and so does the prompt's own cache, which is copied when it joins."""
    made = waiting(memory=512 + 256)
    assert not made.never_fits(256)
    assert made.never_fits(257)
    assert not waiting(memory=2 * 512).never_fits(511)
    assert not waiting().never_fits(10**9)


def test_a_batch_yields_when_it_outgrows_its_memory() -> None:
    """A lone row too: what it may hold has an end."""
    made = waiting(memory=512)
    assert not made.must_yield(Occupancy((255, 255)))
    assert made.must_yield(Occupancy((256, 256)))
    assert not made.must_yield(Occupancy((511,)))
    assert made.must_yield(Occupancy((512,)))
    assert made.must_yield(Occupancy((255, 255), ((1, 10),)))
    assert not made.must_yield(Occupancy())
    assert not waiting().must_yield(Occupancy((10_000,) * 8))


def test_whoever_yields_is_next() -> None:
    scheduler = waiting(10, 20)
    scheduler.put_back(One(9, 30))
    assert start(scheduler, budget=1) == [9]


def test_remove_takes_out_the_one_that_waits() -> None:
    scheduler = waiting(1, 2, 3)
    assert scheduler.remove(1)
    assert not scheduler.remove(1)
    assert start(scheduler) == [0, 2]


def test_short_ones_pass_long_ones_while_a_long_one_is_taken_in() -> None:
    """Only those below a length, in their order; the long ones keep theirs."""
    made = waiting(900, 5, 800, 7, 6)
    assert start(made, below=100) == [1, 3, 4]
    assert start(made, below=100) == []
    assert start(made) == [0]
    assert start(made) == [2]


def test_choices_take_a_row_each() -> None:
    """Two requests of three choices and one of one, in a batch of eight; a fourth waits."""
    made = scheduler()
    for number, rows in enumerate((3, 3, 1, 2)):
        made.add(One(number, 5, rows))
    assert len(made) == 9
    assert start(made) == [0, 1, 2, 3]
    assert start(made, present=8) == []


def test_more_choices_than_places() -> None:
    """The request begins as soon as one row is free, alone; its other choices follow."""
    made = scheduler(max_batch=4)
    made.add(One(1, 5, 10))
    made.add(One(2, 5))
    assert start(made, present=4) == []
    assert start(made, present=3) == [1]


def test_who_may_join() -> None:
    """A free row and memory for one more of that length; the first may always."""
    made = waiting(memory=512, max_batch=3)
    assert made.may_join(10_000, Occupancy())
    assert made.may_join(255, Occupancy((100,)))
    assert not made.may_join(256, Occupancy((100,)))
    assert not waiting(max_batch=3).may_join(10, Occupancy((10, 10, 10)))


@pytest.mark.parametrize("seed", range(20))
def test_every_random_day(seed: int) -> None:
    """Whatever comes and goes: order, places, memory and budget hold, and everybody starts in the end."""
    chance = random.Random(seed)
    ledger = CacheLedger(4096, Costs(RowBytes(1), 1 << 40))
    scheduler: Scheduler[One] = Scheduler(4, ledger)
    queue: list[int] = []
    running: list[One] = []
    for number in range(200):
        one = One(number, chance.randint(1, 700))
        one.start = chance.choice((0, chance.randrange(one.length)))
        one.earliest = max(0, one.start - chance.choice((0, 16, 100)))
        scheduler.add(one)
        queue.append(number)
        if chance.random() < 0.1:
            gone = chance.choice(queue)
            queue.remove(gone)
            assert scheduler.remove(gone)
        padded, budget = chance.random() < 0.5, 64 if running else 256
        present = Occupancy(tuple(one.length for one in running))
        group = scheduler.next_group(present, budget, padded=padded)
        assert [one.id for one in group] == queue[: len(group)]
        del queue[: len(group)]
        running += group
        widest = max((one.length for one in group), default=0)
        assert len(running) <= 4
        held = present.and_rows(one.length + 1 for one in group).and_prefill(len(group), widest)
        assert not group or ledger.fits(held)
        begin = min((one.start for one in group), default=0)
        assert len(group) <= 1 or (widest - begin) * len(group) <= budget
        assert all(one.earliest <= begin for one in group)
        assert padded or len({one.length for one in group}) <= 1
        chance.shuffle(running)
        del running[: chance.randint(0, len(running))]
    while len(scheduler):
        group = scheduler.next_group(Occupancy(), 64, padded=True)
        assert group
        queue = queue[len(group) :]
    assert queue == []
