"""Rows with a grammar in one batch with rows without, in this process: each is as it would be alone."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import pytest
from support.engine_wire import GREEDY, ask, note_yields, run
from support.hashing_network import ROWS, Make, answer

from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.protocol import Cancel, Grammar, Rejected, Sampling

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "kind": {"enum": ["a", "bc", 7]},
        "parts": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 50}, "maxItems": 4},
    },
    "required": ["name", "kind", "parts"],
    "additionalProperties": False,
}
BOUND = Grammar(type="json_schema", source=json.dumps(SCHEMA))
HOT = Sampling(temperature=2.0)


def texts(wire: Any, number: int, choice: int = 0) -> str:
    return "".join(event.text for event in wire.choices[number, choice] if hasattr(event, "text"))


def fits(text: str) -> None:
    value = json.loads(text)
    assert set(value) == {"name", "kind", "parts"}
    assert isinstance(value["name"], str) and len(value["name"]) <= 6
    assert value["kind"] in ("a", "bc", 7)
    assert len(value["parts"]) <= 4 and all(0 <= part <= 50 for part in value["parts"])


def test_every_answer_fits_and_neighbours_do_not_notice(engine: Make) -> None:
    """Twelve rows, half of them bound, drawn at temperature 2, coming at different steps: every bound answer that ends
    by itself fits, and those beside it are what they are without it."""
    free = {number: (number, number + 1) for number in range(1, 13, 2)}
    bound = {number: (number,) for number in range(2, 13, 2)}

    def script() -> Iterator[list[Any]]:
        for number in range(1, 13):
            if number in free:
                yield [ask(number, free[number], 30)]
            else:
                hot = Sampling(temperature=2.0, seed=number)
                yield [ask(number, bound[number], 200, sampling=hot, grammar=BOUND, ignore_eos=False)]
            yield []

    wire = run(engine(max_batch=6), script())
    for number, prompt in free.items():
        assert wire.tokens(number) == answer(prompt, 30)
    ended = [number for number in bound if wire.finished(number).reason == "stop"]
    assert len(ended) >= 3
    for number in ended:
        fits(texts(wire, number))


def test_the_answer_ends_where_the_grammar_does(engine: Make, model: LanguageModel) -> None:
    """Neither a stop token nor a further forward pass is needed, and a limit that is reached with the last token of a
    whole answer is no cut."""
    grammar = Grammar(type="choice", source='["abcd"]')
    for count in (4, 30):
        model.network.calls = 0
        wire = run(engine(), iter([[ask(1, (5,), count, grammar=grammar)]]))
        assert texts(wire, 1) == "abcd"
        assert (wire.finished(1).reason, wire.finished(1).completion_tokens) == ("stop", 4)
        assert model.network.calls <= 5
    assert run(engine(), iter([[ask(1, (5,), 3, grammar=grammar)]])).finished(1).reason == "length"


def test_a_stop_token_only_where_the_grammar_may_end(engine: Make, model: LanguageModel) -> None:
    """A model that wants to stop at once must say something first; after that it may."""
    end = next(iter(model.stop_tokens))
    eager = Sampling(temperature=0.0, logit_bias={end: 1000.0})
    grammar = Grammar(type="regex", source="[0-9]{2,}")
    wire = run(engine(), iter([[ask(1, (5,), 30, sampling=eager, grammar=grammar, ignore_eos=False)]]))
    assert len(texts(wire, 1)) == 2 and texts(wire, 1).isdigit()
    assert wire.finished(1).reason == "stop"


def test_choices_follow_the_grammar_each_for_itself(engine: Make) -> None:
    hot = Sampling(temperature=2.0, seed=3)
    wire = run(engine(max_batch=8), iter([[ask(1, (5,), 300, sampling=hot, grammar=BOUND, choices=8)]]))
    said = [texts(wire, 1, choice) for choice in range(8) if wire.finished(1, choice).reason == "stop"]
    assert len(set(said)) > 3
    for text in said:
        fits(text)


def test_seeds_and_neighbours(engine: Make) -> None:
    """What a seed draws under a grammar is the same alone and in a full batch."""
    hot = Sampling(temperature=1.5, seed=11)
    wanted = ask(1, (5, 6), 120, sampling=hot, grammar=BOUND, logprobs=3)
    alone = run(engine(), iter([[wanted]]))
    others = [ask(number, (number,), 60, sampling=HOT) for number in range(2, 5)]
    beside = run(engine(), iter([others, [wanted]]))
    assert texts(alone, 1) == texts(beside, 1)
    logprobs = [entry for delta in alone.deltas(1) for entry in delta.logprobs]
    assert len(logprobs) == alone.finished(1).completion_tokens
    assert all(len(entry.top) == 3 for entry in logprobs)


def test_who_yields_goes_on_in_its_grammar(engine: Make) -> None:
    """Memory for one long row: those that wait again end with answers that fit, and free ones with their own."""
    made = engine(row_bytes=1, memory=72)
    put_back = note_yields(made[0])
    asks = [ask(1, (1, 2, 3), 40)]
    for number in (2, 3, 4):
        hot = Sampling(temperature=2.0, seed=number)
        asks.append(ask(number, (number,), 60, sampling=hot, grammar=BOUND, ignore_eos=False))
    wire = run(made, iter([asks]))
    roomy = run(engine(), iter([asks]))
    assert set(put_back) & {2, 3, 4}
    assert wire.tokens(1) == answer((1, 2, 3), 40)
    for number in (2, 3, 4):
        if wire.finished(number).reason == "stop":
            fits(texts(wire, number))
        assert texts(wire, number) == texts(roomy, number)


@pytest.mark.parametrize("seed", range(4))
def test_any_traffic(engine: Make, seed: int) -> None:
    """Bound and free requests that come and are cancelled at any time."""
    chance = random.Random(seed)
    prompts: dict[int, tuple[int, ...]] = {}
    cancelled: set[int] = set()
    bound = Grammar(type="regex", source="(a[0-9]{1,5}b?)*")

    def script() -> Iterator[list[Any]]:
        for number in range(1, 25):
            prompts[number] = tuple(chance.randrange(ROWS) for _ in range(chance.choice([1, 2, 9])))
            options: dict[str, Any] = {"grammar": bound, "sampling": HOT} if number % 2 else {}
            yield [ask(number, prompts[number], 20, **options)]
            for _ in range(chance.randint(0, 4)):
                if chance.random() < 0.2:
                    cancelled.add(gone := chance.randint(1, number))
                    yield [Cancel(id=gone)]
                else:
                    yield []

    tight = {"row_bytes": 1, "memory": 150} if seed % 2 else {}
    wire = run(engine(**tight), script())
    for number, prompt in prompts.items():
        if number in cancelled:
            continue
        if number % 2 == 0:
            assert wire.tokens(number) == answer(prompt, 20)
        else:
            text = texts(wire, number)
            assert set(text) <= set("ab0123456789") and "bb" not in text and "aa" not in text


def test_a_grammar_that_becomes_too_complex_ends_its_request_alone(
    engine: Make, model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """llguidance's limits for a step are reached in the middle of an answer: an error that names the field."""
    from llguidance import LLParserLimits

    from mlx_serve.daemon.engine.grammar import compiler

    monkeypatch.setattr(compiler, "limits", lambda: LLParserLimits(step_max_items=30, verbose_errors=False))
    ambiguous = Grammar(type="lark", source='start: a\na: a a | "x" | "y"', param="guided_grammar")
    endless = Sampling(temperature=0.0, logit_bias=dict.fromkeys(model.stop_tokens, -1000.0))
    hard = ask(2, (7,), 40, grammar=ambiguous, choices=2, sampling=endless)
    wire = run(engine(), iter([[ask(1, (5, 6), 12), hard, ask(3, (5, 6), 12)]]))
    refused = wire.events[2][-1]
    assert isinstance(refused, Rejected)
    assert (refused.code, refused.param) == ("invalid_request", "guided_grammar")
    assert "simpler" in refused.message
    for number in (1, 3):
        assert wire.tokens(number) == answer((5, 6), 12)
    assert wire.gauges.running == 0


def test_greedy_rows_without_a_grammar_compute_no_mask(engine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch without a grammar is launched as it was before there were any."""
    from mlx_serve.daemon.engine.generate import batch

    monkeypatch.setattr(batch, "allowed", lambda *_: pytest.fail("a mask was made"))
    assert run(engine(), iter([[ask(1, (5,), sampling=GREEDY)]])).tokens(1) == answer((5,), 12)


def test_values_that_are_no_numbers_under_a_grammar(engine: Make, model: LanguageModel) -> None:
    """A network that computes NaN ends the request as it does without one."""
    table = model.network.table
    model.network.table = mx.full(table.shape, mx.nan)
    wire = run(engine(), iter([[ask(1, (5,), grammar=BOUND)]]))
    assert wire.events[1][-1].code == "numerical_error"
