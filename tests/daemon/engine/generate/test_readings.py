"""How far a long prompt is read: told of what the device has computed, seldom, and never of what one step does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.engine_wire import Wire, ask, run
from support.hashing_network import Make, answer

from mlx_serve.daemon.engine.generate.prefilling.prefills import READING_SECONDS
from mlx_serve.daemon.protocol import Cancel, Reading

LONG = tuple(range(60))


def told(wire: Wire, number: int) -> list[int]:
    return [event.tokens for event in wire.events[number] if isinstance(event, Reading)]


def clocked(made: Any, seconds: float) -> Any:
    """An engine of short steps, whose clock moves on by so much at each look."""
    now = [0.0]

    def clock() -> float:
        now[0] += seconds
        return now[0]

    made[0]._prefills._clock = clock
    made[0]._pace.budget = lambda decoding, several=False: 8
    return made


def test_a_long_prompt_is_told_of_chunk_by_chunk(engine: Make) -> None:
    """Only what was computed counts. The answer is what it is without."""
    wire = run(clocked(engine(), 2 * READING_SECONDS), iter([[ask(1, LONG)]]))
    found = told(wire, 1)
    assert found[0] == 8 and len(found) > 3
    assert found == sorted(set(found)) and found[-1] < len(LONG)
    assert wire.tokens(1) == answer(LONG, 12)


def test_however_many_steps_there_are_news_are_seldom(engine: Make) -> None:
    """A clock that stands still: once. A prompt of one step: never."""
    wire = run(clocked(engine(), 0.0), iter([[ask(1, LONG)], [ask(2, (5, 6, 7))]]))
    assert told(wire, 1) == [8] and told(wire, 2) == []


def test_of_a_cancelled_prompt_nothing_more_is_told(engine: Make) -> None:
    def script() -> Iterator[list[Any]]:
        yield [ask(1, LONG), ask(2, LONG[::-1])]
        yield from ([] for _ in range(2))
        yield [Cancel(id=1)]
        before = len(wire.events[1])
        yield from ([] for _ in range(40))
        assert len(wire.events[1]) == before

    made = clocked(engine(), 2 * READING_SECONDS)
    wire = made[1]
    run(made, script())
    assert wire.tokens(2) == answer(LONG[::-1], 12)


@pytest.mark.parametrize("memory", [150])
def test_who_begins_anew_is_told_of_less(engine: Make, memory: int) -> None:
    """Memory runs out, the newest prompt yields: what is told of it never passes its length."""
    script = iter([[ask(number, LONG, 30)] for number in (1, 2, 3)])
    wire = run(clocked(engine(row_bytes=1, memory=memory), 2 * READING_SECONDS), script)
    for number in (1, 2, 3):
        assert all(0 <= tokens < len(LONG) for tokens in told(wire, number))
        assert wire.tokens(number) == answer(LONG, 30)
