"""The loop itself, in this process, over a network whose every token depends on all tokens before it.

The expected answers come from a few lines of Python, so a row that is mixed up, a token that is taken twice or a count
that is off by one shows at once. Both ways of launching are run: the CPU's, and the pipelined one of GPUs.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import msgspec
import numpy as np
import pytest
from support.engine_wire import GREEDY, Wire, ask, generator, note_yields, run
from support.hashing_network import ROWS, TABLE, Make, answer, follow

from mlx_serve.daemon.engine import device
from mlx_serve.daemon.engine.generate.prefilling.pace import Pace
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.shares import TIGHT_POOL, divide
from mlx_serve.daemon.protocol import (
    Accepted,
    Cancel,
    Delta,
    Finished,
    Gauges,
    Limit,
    Ping,
    Pong,
    Sampling,
    Started,
    Step,
)


def test_where_memory_is_tight_little_is_kept_for_later(
    engine: Make, model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool is emptied, and bounded by less until the next Limit; answers are what they were."""
    calls: list[Any] = []
    monkeypatch.setattr(mx, "set_cache_limit", calls.append)
    monkeypatch.setattr(mx, "clear_cache", lambda: calls.append("clear"))
    limits = [Limit(memory_limit=8 << 30, tight=True), ask(1, (5, 6, 7)), Limit(memory_limit=8 << 30)]
    wire = run(engine(), iter([[frame] for frame in limits]))
    assert calls == ["clear", TIGHT_POOL, "clear", divide(8 << 30, model.weight_bytes).pool]
    assert wire.tokens(1) == answer((5, 6, 7), 12)


def test_mlx_holds_no_more_than_the_model_may(engine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """On CUDA, where it would hold all that is under way; elsewhere its own limit stays."""
    bounds: list[int] = []
    monkeypatch.setattr(mx, "set_memory_limit", bounds.append)
    run(engine(), iter([[Limit(memory_limit=8 << 30)]]))
    assert not bounds
    monkeypatch.setattr(device, "backend", lambda: "cuda")
    run(engine(), iter([[Limit(memory_limit=8 << 30), ask(1, (5, 6, 7))], [Limit(memory_limit=4 << 30)]]))
    assert bounds == [8 << 30, 4 << 30]


def test_one_request(engine: Make) -> None:
    """Accepted, Started, a delta for every token that completes text, Finished; then the engine waits."""
    wire = run(engine(), iter([[ask(1, (5, 6, 7))]]))
    kinds = [type(event) for event in wire.events[1]]
    assert kinds[:2] == [Accepted, Started]
    assert kinds[-1] is Finished
    assert set(kinds[2:-1]) <= {Delta}
    assert wire.tokens(1) == answer((5, 6, 7), 12)
    assert wire.finished(1).reason == "length"
    assert wire.waits == 2  # for the request, and when all is done
    assert (wire.gauges.running, wire.gauges.waiting, wire.gauges.prefilling) == (0, 0, 0)
    assert (wire.gauges.generated_tokens, wire.gauges.prompt_tokens) == (12, 2)


def test_no_step_is_spent_on_the_dead(engine: Make, model: LanguageModel) -> None:
    """Twelve tokens after a prompt of one are twelve forward passes."""
    wire = run(engine(), iter([[ask(1, (5,))]]))
    assert wire.tokens(1) == answer((5,), 12)
    assert model.network.calls == 12


@pytest.mark.parametrize("seed", range(6))
def test_any_traffic(engine: Make, seed: int) -> None:
    """Requests of any length that come and are cancelled at any time, with memory enough and without: whoever stays
    gets exactly its own answer."""
    chance = random.Random(seed)
    tight = {"row_bytes": 1, "memory": 150} if seed % 2 else {}
    prompts: dict[int, tuple[tuple[int, ...], int]] = {}
    cancelled: set[int] = set()

    def script() -> Iterator[list[Any]]:
        for number in range(1, 25):
            length = chance.choice([1, 1, 2, 3, 8, 9, 20])
            prompts[number] = tuple(chance.randrange(ROWS) for _ in range(length)), chance.choice([1, 2, 9, 20])
            yield [ask(number, *prompts[number])]
            for _ in range(chance.randint(0, 4)):
                gone = chance.randint(1, number)
                if chance.random() < 0.15:
                    cancelled.add(gone)
                    yield [Cancel(id=gone)]
                else:
                    yield []

    wire = run(engine(**tight), script())
    for number, (prompt, count) in prompts.items():
        if number not in cancelled or isinstance(wire.events[number][-1], Finished):
            assert wire.tokens(number) == answer(prompt, count), number
    assert (wire.gauges.running, wire.gauges.waiting, wire.gauges.prefilling) == (0, 0, 0)


def test_a_model_that_cannot_be_batched(engine: Make, model: LanguageModel) -> None:
    """Row by row, each prefilled alone: the same answers, with comers and goers."""
    model.batchable = False
    requests = [ask(number, (number,) * (1 + number % 5), 5 + number) for number in range(1, 9)]
    wire = run(engine(), iter([[one] for one in requests] + [[Cancel(id=4)]]))
    for number in (1, 2, 3, 5, 6, 7, 8):
        assert wire.tokens(number) == answer((number,) * (1 + number % 5), 5 + number)


def test_the_newest_yields_and_comes_back(engine: Make) -> None:
    """Memory for four short rows, or one long one: all get the answers that room enough gives, whoever had to wait."""
    prompts = {number: (number, number + 1, number + 2) for number in range(1, 5)}
    made = engine(row_bytes=1, memory=72)
    put_back = note_yields(made[0])
    wire = run(made, iter([[ask(number, prompt, 40)] for number, prompt in prompts.items()]))
    assert put_back
    assert 1 not in put_back
    for number, prompt in prompts.items():
        assert wire.tokens(number) == answer(prompt, 40)
        assert wire.finished(number).completion_tokens == 40
        assert [delta.tokens for delta in wire.deltas(number)] == sorted({d.tokens for d in wire.deltas(number)})


def test_yielding_under_penalties_and_seeds(engine: Make, model: LanguageModel) -> None:
    """What a row has drawn is remembered while it waits: counts, windows and the place in the seed's noise."""
    samplings = {
        1: Sampling(temperature=0.0, frequency_penalty=2.0),
        2: Sampling(temperature=0.9, seed=5),
        3: Sampling(temperature=0.0, presence_penalty=3.0, penalty_window=3),
        4: Sampling(temperature=1.3, seed=6, top_p=0.9),
    }
    requests = [ask(number, (number,), 40, sampling=sampling) for number, sampling in samplings.items()]
    roomy = run(engine(), iter([[*requests]]))
    tight = run(engine(row_bytes=1, memory=72), iter([[*requests]]))
    for number in samplings:
        assert tight.tokens(number) == roomy.tokens(number)
    assert tight.tokens(3) == answer((3,), 40, samplings[3])


@pytest.mark.parametrize("window", [0, 1, 2, 5])
def test_penalties_in_a_changing_batch(engine: Make, window: int) -> None:
    """Rows join and leave around them; every step's counts are those of the reference."""
    hard = Sampling(temperature=0.0, frequency_penalty=1.5, presence_penalty=1.0, penalty_window=window)

    def script() -> Iterator[list[Any]]:
        for number in range(1, 9):
            yield [ask(number, (9, number), 10 + number, sampling=hard if number % 2 else GREEDY)]
            yield []
            yield []

    wire = run(engine(), script())
    for number in range(1, 9):
        assert wire.tokens(number) == answer((9, number), 10 + number, hard if number % 2 else GREEDY), number


def test_stop_tokens_end_a_row_at_once(engine: Make, model: LanguageModel) -> None:
    """The token that the reference draws sixth is made a stop token: five tokens, in a batch too."""
    for prompt in itertools.product(range(10), range(10)):
        tokens = answer(prompt, 6)
        if tokens[5] not in tokens[:5]:
            break
    made = engine()
    made[0]._model.stop_tokens = frozenset([tokens[5]])
    wire = run(made, iter([[ask(1, prompt, 50, ignore_eos=False), ask(2, (3, 4), 9)]]))
    assert wire.tokens(1) == tokens[:5]
    assert (wire.finished(1).reason, wire.finished(1).completion_tokens) == ("stop", 5)
    assert wire.tokens(2) == answer((3, 4), 9)


def test_log_probabilities_of_some_rows(engine: Make) -> None:
    """One for each token of the rows that asked, of the right row and step; none for the others."""
    wire = run(engine(), iter([[ask(1, (1,), logprobs=3), ask(2, (2,)), ask(3, (3,), logprobs=0)]]))
    for number, width in ((1, 3), (3, 0)):
        entries = [entry for delta in wire.deltas(number) for entry in delta.logprobs]
        state = follow(0, number)
        assert len(entries) == 12
        for token, entry in zip(wire.tokens(number), entries, strict=True):
            row = TABLE[state].astype(np.float64)
            values = row - np.log(np.exp(row).sum())
            assert entry.logprob == pytest.approx(values[token], abs=1e-5)
            assert [other.logprob for other in entry.top] == pytest.approx(sorted(values)[::-1][:width], abs=1e-5)
            state = follow(state, token)
    assert not any(delta.logprobs for delta in wire.deltas(2))


def test_cancelling_frees_the_place_within_a_step(engine: Make) -> None:
    """Queued, in prefill and decoding: after the next step the gauges and a waiting request show it."""
    seen: list[Gauges] = []
    made = engine(max_batch=2, tokens_per_step=2)

    def script() -> Iterator[list[Any]]:
        yield [ask(1, (1,), 400), ask(2, tuple(range(100)), 5), ask(3, (3,), 400)]
        yield []
        yield []
        yield [Ping(id=1)]
        yield [Cancel(id=3)]
        yield [Ping(id=2)]
        yield [Cancel(id=2)]
        yield []
        yield [Ping(id=3)]
        yield [ask(4, (4,), 3), Cancel(id=1)]
        yield []
        yield [Ping(id=4)]

    wire = run(made, script())
    seen = [frame.gauges for frame in wire.frames if isinstance(frame, Pong)]
    assert [(one.running, one.prefilling, one.waiting) for one in seen] == [(1, 1, 1), (1, 1, 0), (1, 0, 0), (1, 0, 0)]
    assert wire.tokens(4) == answer((4,), 3)
    assert not any(isinstance(event, Finished) for number in (1, 2, 3) for event in wire.events[number])


def test_a_long_prompt_does_not_stop_the_others(engine: Make) -> None:
    """While a prompt of 200 tokens is taken in, in chunks, the running row gets a token at every step."""
    made = engine(tokens_per_step=4)
    made[0]._pace.note_step = lambda *_, **__: None  # type: ignore[method-assign]
    wire = run(made, iter([[ask(1, (1,), 80)], [], [], [ask(2, tuple(range(200)), 2)]]))
    assert wire.tokens(1) == answer((1,), 80)
    assert wire.tokens(2) == answer(tuple(range(200)), 2)
    order = [event.id for frame in wire.frames if isinstance(frame, Step) for event in frame.events]
    first_of_second = next(
        place
        for place, event in enumerate(
            event for frame in wire.frames if isinstance(frame, Step) for event in frame.events
        )
        if event.id == 2 and isinstance(event, Delta | Finished)
    )
    assert order[:first_of_second].count(1) > 40


def test_nothing_to_generate(engine: Make, model: LanguageModel) -> None:
    """max_tokens 0 echoes the prompt and ends without a step; render_only is one event."""
    wire = run(engine(), iter([[ask(1, (72, 105), 0, echo=True), ask(2, (72, 105), render_only=True)]]))
    assert [delta.text for delta in wire.deltas(1)] == ["Hi"]
    assert wire.finished(1).completion_tokens == 0
    assert [(type(event), event.last) for event in wire.events[2]] == [(Accepted, True)]
    assert model.network.calls == 0


def test_choices_share_one_prefill(engine: Make, model: LanguageModel) -> None:
    """Eight choices of a prompt of thirty tokens take 29 prompt tokens, more choices than rows among them; greedy ones
    are all the same, seeded ones are those that requests with the seeds of their own get; the last end says so."""
    prompt = tuple(range(30))
    seeded = Sampling(temperature=1.2, seed=11)
    asked = ask(1, prompt, 9, choices=8), ask(2, prompt, 9, choices=2, sampling=seeded)
    wire = run(engine(max_batch=3), iter([[asked[0]], [], [asked[1]]]))
    assert [wire.tokens(1, choice) for choice in range(8)] == [answer(prompt, 9)] * 8
    assert [event.last for event in wire.events[1] if isinstance(event, Finished)] == [False] * 7 + [True]
    assert wire.gauges.prompt_tokens == 2 * 29
    own = [msgspec.structs.replace(seeded, seed=seed) for seed in (11, 12)]
    apart = run(engine(), iter([[ask(1, prompt, 9, sampling=own[0]), ask(2, prompt, 9, sampling=own[1])]]))
    assert [wire.tokens(2, choice) for choice in (0, 1)] == [apart.tokens(1), apart.tokens(2)]


def test_cancelling_a_request_ends_all_of_its_choices(engine: Make) -> None:
    """Those that decode and those that wait for a row."""
    wire = run(engine(max_batch=2), iter([[ask(1, (1, 2), 400, choices=5)], [], [], [Cancel(id=1)], [ask(2, (2,), 3)]]))
    assert not any(isinstance(event, Finished) for event in wire.events[1])
    assert wire.tokens(2) == answer((2,), 3)
    assert (wire.gauges.running, wire.gauges.waiting, wire.gauges.prefilling) == (0, 0, 0)


def test_a_short_prompt_overtakes_a_long_one(engine: Make) -> None:
    """Three tokens that come behind hundreds have their answer long before the hundreds are in; the long one ends
    too, though short ones keep coming."""
    long = tuple(number % 300 for number in range(480))

    def script() -> Iterator[list[Any]]:
        yield [ask(1, long, 2)]
        for number in range(2, 60):
            yield [ask(number, (number, 3, 4), 2)] if number % 3 == 0 else []

    wire = run(engine(tokens_per_step=4), script())
    assert wire.tokens(1) == answer(long, 2)
    ended = [event.id for frame in wire.frames if isinstance(frame, Step) for event in frame.events if event.last]
    assert ended.index(3) < ended.index(1)
    assert ended[-1] == 1 or ended.index(1) > 10


@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3_next", "qwen3_5"])
@pytest.mark.usefixtures("short_steps")
def test_real_caches_yield_and_come_back(
    name: str, loaded: Callable[[str], LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full attention, rings and recurrent states are prefilled anew with prompt and answer: the text goes on as if
    nothing had been."""
    monkeypatch.setattr(Pace, "owed", False)  # whatever the clock says
    monkeypatch.setattr(Pace, "piece", lambda pace, decoding, short: 9.0)
    chance = random.Random(name)
    prompts = [tuple(chance.randrange(256) for _ in range(length)) for length in (20, 5, 20)]

    def answers(asked: list[list[Any]], **limits: Any) -> tuple[Wire, list[int]]:
        wire = Wire(loaded(name))
        made = generator(loaded(name), wire, tokens_per_step=16, **limits)
        yields = note_yields(made)
        return run((made, wire), iter(asked)), yields

    requests = [ask(number, prompt, 30) for number, prompt in enumerate(prompts)]
    together, yields = answers([requests], row_bytes=1, memory=150)
    assert len(yields) >= 2
    for number, request in enumerate(requests):
        alone, _ = answers([[request]])
        assert together.tokens(number) == alone.tokens(number)


def test_the_books_agree_at_rest(engine: Make, capfd: pytest.CaptureFixture[str]) -> None:
    """After answers, cancellations and refusals nothing is left; what is left all the same is in the log, once."""
    made = engine()
    run(made, iter([[ask(1, (1, 2), 9, choices=2), ask(2, (3,), 400)], [], [Cancel(id=2)], [ask(3, (7,), 0)]]))
    assert made[0].audit() is None
    assert capfd.readouterr().err == ""
    made[0]._answers.begin(77, 1)
    run(made, iter([[ask(4, (1,), 3)], [ask(5, (1,), 3)]]))
    assert capfd.readouterr().err == "audit engine: nothing runs, and yet there are: unfinished 1\n"


def test_more_choices_than_the_batch_has_rows(engine: Make) -> None:
    """Of 128 choices four run at a time; the others follow as rows become free, from the one prefill."""
    wire = run(engine(), iter([[ask(1, (5, 6, 7), 3, choices=128)]]))
    assert all(wire.tokens(1, choice) == answer((5, 6, 7), 3) for choice in range(128))
    assert wire.gauges.prompt_tokens == 2
