"""What goes wrong in the engine: numbers that are none, a step that raises, memory that runs out, text that is none."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from support.engine_wire import ask, run
from support.hashing_network import TABLE, Make, answer, follow

from mlx_serve.daemon.engine.generate.sequence import Sequence
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.protocol import (
    Accepted,
    Fatal,
    Finished,
    Quit,
    Rejected,
    Started,
)


def test_numbers_that_are_none_fail_one_request(engine: Make, model: LanguageModel) -> None:
    """The row whose logits are not finite is rejected; its neighbours finish."""
    state = follow(0, 1)
    for token in answer((1,), 4):
        state = follow(state, token)
    table = TABLE.copy()
    table[state] = np.nan
    model.network.table = mx.array(table)
    wire = run(engine(), iter([[ask(1, (1,), 30), ask(2, (2,), 6)]]))
    last = wire.events[1][-1]
    assert isinstance(last, Rejected)
    assert last.code == "numerical_error"
    assert [delta.tokens for delta in wire.deltas(1)][-1] <= 4
    assert wire.tokens(2) == answer((2,), 6)


def test_a_step_that_raises_is_fatal(engine: Make, model: LanguageModel) -> None:
    """What was made before is sent, then the reason, and the engine ends: nobody knows what state the device is in."""
    model.network.fails_at = 4
    wire = run(engine(), iter([[ask(1, (1,), 30)]]))
    last = wire.frames[-1]
    assert isinstance(last, Fatal)
    assert "RuntimeError: the device is gone" in last.message
    assert wire.events[1]
    assert not any(isinstance(event, Finished) for event in wire.events[1])


def test_a_step_that_raises_in_prefill(engine: Make, model: LanguageModel) -> None:
    model.network.fails_at = 1
    wire = run(engine(), iter([[ask(1, (1, 2, 3), 30)]]))
    assert isinstance(wire.frames[-1], Fatal)


def test_memory_that_runs_out_in_prefill_ends_that_group(engine: Make, model: LanguageModel) -> None:
    """All choices of the prompt that is too large; who decodes beside it, and who comes after it, are served."""
    model.network.largest = 20
    wire = run(
        engine(tokens_per_step=100),
        iter([[ask(1, (1,), 30)], [], [ask(2, tuple(range(90)), 5, choices=2)], [], [], [ask(3, (3, 4, 5), 6)]]),
    )
    last = wire.events[2][-1]
    assert isinstance(last, Rejected) and last.code == "insufficient_memory"
    assert [type(event) for event in wire.events[2]] == [Accepted, Started, Rejected]
    assert wire.tokens(1) == answer((1,), 30)
    assert wire.tokens(3) == answer((3, 4, 5), 6)
    assert (wire.gauges.running, wire.gauges.waiting, wire.gauges.prefilling) == (0, 0, 0)


def test_text_that_cannot_be_read_ends_its_own_request(engine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in one sequence's text is that request's error; its neighbours finish, and the engine lives."""
    accept = Sequence.accept

    def failing(sequence: Sequence, *values: Any) -> Any:
        if sequence.ask == 1 and sequence.generated == 3:
            raise ValueError("half a surrogate pair")
        return accept(sequence, *values)

    monkeypatch.setattr(Sequence, "accept", failing)
    wire = run(engine(), iter([[ask(1, (1,), 30, choices=2), ask(2, (2,), 12)]]))
    last = wire.events[1][-1]
    assert isinstance(last, Rejected)
    assert (last.code, last.last) == ("internal_error", True)
    assert wire.tokens(2) == answer((2,), 12)
    assert not any(isinstance(frame, Fatal) for frame in wire.frames)


def test_a_lone_sequence_ends_where_its_memory_ends(engine: Make) -> None:
    """Nobody is left to wait for: it ends with `length`, at the last token that fits, and the next one is served."""
    wire = run(engine(row_bytes=1, memory=72), iter([[ask(1, (1, 2), 400)], [], [ask(2, (2,), 3)]]))
    assert wire.finished(1).reason == "length"
    assert wire.tokens(1) == answer((1, 2), len(wire.tokens(1)))
    assert 50 <= len(wire.tokens(1)) <= 62
    assert wire.tokens(2) == answer((2,), 3)


def test_too_large_for_the_memory_is_refused(engine: Make) -> None:
    """With its size, at once, and the next one is served."""
    wire = run(engine(row_bytes=1, memory=160), iter([[ask(1, tuple(range(70))), ask(2, (1, 2))]]))
    last = wire.events[1][-1]
    assert isinstance(last, Rejected)
    assert last.code == "insufficient_memory"
    assert "70 tokens" in last.message
    assert wire.tokens(2) == answer((1, 2), 12)


def test_quit_in_the_middle(engine: Make) -> None:
    """The engine ends at once, whoever waits."""
    wire = run(engine(), iter([[ask(1, (1,), 400)], [], [Quit()]]))
    assert not any(isinstance(event, Finished) for event in wire.events[1])
