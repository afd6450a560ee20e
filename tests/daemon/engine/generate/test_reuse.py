"""What was read before is not read again, and nobody can see the difference in an answer.

Blocks are of eight tokens, so that short prompts have many; gemma3's window of 16 is kept by columns then, and by
snapshots where blocks are of 16.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from mlx_lm.models.cache import ArraysCache, CacheList, KVCache, QuantizedKVCache, RotatingKVCache
from reference.architectures import VOCABULARY
from support.engine_wire import Wire, ask, generator, note_yields, run
from support.extent import LONG
from support.small_blocks import blocks_of

from mlx_serve.daemon.engine.generate import reuse
from mlx_serve.daemon.engine.generate.generator import Generator
from mlx_serve.daemon.engine.generate.prefilling.prefill import Prefill
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prefix import recording
from mlx_serve.daemon.engine.shares import Buffers
from mlx_serve.daemon.protocol import Cancel, Sampling

NAMES = ["llama", "gemma3", "qwen3_next", "qwen3_5"] if LONG else ["gemma3", "qwen3_next"]
RECURRENT = ("qwen3_next", "qwen3_5")
PLENTY = 1 << 30

Loaded = Callable[[str], LanguageModel]


def tokens(count: int, seed: int) -> tuple[int, ...]:
    chance = random.Random(seed)
    return tuple(chance.randrange(VOCABULARY) for _ in range(count))


@pytest.fixture(params=[8, 16] if LONG else [8])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    size: int = request.param
    blocks_of(size, monkeypatch)
    return size


class Session:
    """An engine that answers one round of requests after the other, and what each came to without any reuse."""

    def __init__(self, model: LanguageModel, *, pipelined: bool = False, **limits: Any) -> None:
        self.model = model
        self.wire = Wire(model)
        self.engine: Generator = generator(model, self.wire, **({"prefixes": PLENTY, "tokens_per_step": 24} | limits))
        self.engine.pipelining.certain = (1 << 40) if pipelined else 0
        self.number = 0

    def round(self, *prompts: tuple[int, ...], count: int = 12, **options: Any) -> tuple[list[list[int]], list[int]]:
        """The answers to prompts that arrive together, and how many tokens of each were not read."""
        first = self.number + 1
        asks = [ask(first + place, prompt, count, **options) for place, prompt in enumerate(prompts)]
        self.number += len(asks)
        run((self.engine, self.wire), iter([asks]))
        numbers = range(first, self.number + 1)
        return [self.wire.tokens(one) for one in numbers], [self.wire.finished(one).cached_tokens for one in numbers]

    def fresh(self, *prompts: tuple[int, ...], count: int = 12, **options: Any) -> list[list[int]]:
        """By an engine that keeps nothing, one after the other."""
        plain = Session(self.model, prefixes=0)
        return [plain.round(prompt, count=count, **options)[0][0] for prompt in prompts]


@pytest.mark.parametrize("pipelined", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_turns_of_a_conversation(name: str, pipelined: bool, block: int, loaded: Loaded) -> None:
    """Each turn is the one before, its answer and some more: only what is new is read, whatever the caches are."""
    session = Session(loaded(name), pipelined=pipelined)
    prompt, known = tokens(61, 1), 0
    for turn in range(4):
        (answer,), (cached,) = session.round(prompt)
        assert [answer] == session.fresh(prompt)
        if turn:
            exact = name not in RECURRENT and not (name == "gemma3" and block == 16)
            read = 1 if exact else 1 + block + 12  # the answer again, where a step beyond its end was begun
            assert cached >= known - read, turn
        known = len(prompt) + len(answer)
        prompt = (*prompt, *answer, *tokens(9, turn + 2))


@pytest.mark.parametrize(("name", "pipelined"), [("llama", True), ("qwen3_next", True), ("qwen3_next", False)])
def test_turns_whose_answers_end_by_themselves(
    name: str, pipelined: bool, monkeypatch: pytest.MonkeyPatch, loaded: Loaded
) -> None:
    """A template puts the token that ended an answer behind it: recurrent layers go on from there too, though a step
    beyond the answer was begun before that token was read."""
    blocks_of(8, monkeypatch)
    model = loaded(name)
    prompt = tokens(61, 1)
    (said,), _ = Session(model, prefixes=0).round(prompt, count=8)
    place = next(place for place in range(3, 8) if said[place] not in said[:place])
    answer, end = said[:place], said[place]
    session = Session(replace(model, stop_tokens=frozenset({end})), pipelined=pipelined)
    assert session.round(prompt, ignore_eos=False)[0] == [answer]
    following = (*prompt, *answer, end, *tokens(9, 2))
    (text,), (cached,) = session.round(following)
    assert [text] == session.fresh(following)
    assert cached == len(prompt) + len(answer) + pipelined


@pytest.mark.parametrize(("grain", "while_answered"), [(1, 69), (8, 64)])
def test_the_end_of_a_prompt_where_copies_are_dear(
    grain: int, while_answered: int, monkeypatch: pytest.MonkeyPatch, llama: LanguageModel
) -> None:
    """There it is kept with the answer, not before: an operation for each array is spared, and it is known in time."""
    blocks_of(8, monkeypatch)
    session, prompt = Session(llama), tokens(70, 3)
    kept_by = session.engine._reuse
    kept_by._grain = grain
    known: list[int] = []
    keep = kept_by.keep

    def looked(sequence: Any, *where: Any) -> None:
        assert kept_by.kept is not None
        known.append(kept_by.kept.find(sequence.chain, 69).length)
        keep(sequence, *where)

    monkeypatch.setattr(kept_by, "keep", looked)
    (first,), _ = session.round(prompt)
    (again,), (cached,) = session.round(prompt)
    assert known[0] == while_answered
    assert first == again and cached == 69 // grain * grain


@pytest.mark.parametrize("name", NAMES)
def test_the_same_again(name: str, block: int, loaded: Loaded) -> None:
    """All but the last token is known."""
    session = Session(loaded(name))
    prompt = tokens(70, 3)
    (first,), (none,) = session.round(prompt)
    (again,), (cached,) = session.round(prompt)
    assert first == again and none == 0 and cached == 69
    seeded = {"sampling": Sampling(temperature=1.0, seed=7)}
    (one,), _ = session.round(prompt, **seeded)
    assert [one] == session.fresh(prompt, **seeded)


@pytest.mark.parametrize("name", NAMES)
def test_many_with_one_beginning_arrive_together(name: str, block: int, loaded: Loaded) -> None:
    """The beginning is read once, whatever each asks after it."""
    session = Session(loaded(name))
    beginning = tokens(61, 4)
    prompts = [(*beginning, *tokens(5 + place % 2, 10 + place)) for place in range(6)]
    answers, cached = session.round(*prompts)
    assert answers == session.fresh(*prompts)
    assert cached[0] == 0 and all(one >= 61 for one in cached[1:])
    assert session.wire.gauges.prompt_tokens <= 61 + 6 * 6


@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3_next"])
def test_texts_that_part_at_neighbouring_places_are_read_together(
    name: str, block: int, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first of these on, where a cache can be cut anywhere; one that parts much later is not read again."""
    groups: list[tuple[int, int]] = []
    begin = Prefill.__init__

    def noted(self: Prefill, model: LanguageModel, requests: list[Any], *rest: Any, **more: Any) -> None:
        begin(self, model, requests, *rest, **more)
        groups.append((len(requests), self.start))

    session = Session(loaded(name), max_batch=8)
    kept = tokens(90, 6)
    session.round(kept)
    prompts = [(*kept[:place], *tokens(5, 30 + place)) for place in (41, 43, 45, 42, 44, 80)]
    monkeypatch.setattr(Prefill, "__init__", noted)
    answers, cached = session.round(*prompts)
    monkeypatch.undo()
    assert answers == session.fresh(*prompts)
    if name == "llama":
        assert groups == [(5, cached[0]), (1, cached[5])]
        assert 41 <= cached[0] < 43 and cached[:5] == [cached[0]] * 5 and cached[5] >= 80


@pytest.mark.parametrize("name", NAMES)
def test_conversations_that_part(name: str, block: int, loaded: Loaded) -> None:
    """What two have in common serves a third; recurrent layers know where to go on from since the second."""
    session = Session(loaded(name))
    beginning = tokens(45, 5)
    prompts = [(*beginning, *tokens(30, 20 + place)) for place in range(4)]
    for place, prompt in enumerate(prompts):
        (answer,), (cached,) = session.round(prompt)
        assert [answer] == session.fresh(prompt)
        if place >= 2 or (place and name not in RECURRENT and (name, block) != ("gemma3", 16)):
            assert cached >= 45, place


@pytest.mark.parametrize("name", ["llama", "qwen3_next"])
def test_a_client_that_hung_up_and_comes_again(name: str, block: int, loaded: Loaded) -> None:
    """In the middle of its prefill: what was read by then is not read again."""
    session = Session(loaded(name))
    prompt = tokens(90, 6)
    run((session.engine, session.wire), iter([[ask(1, prompt)], [], [], [Cancel(id=1)], []]))
    session.number = 1
    (answer,), (cached,) = session.round(prompt)
    assert [answer] == session.fresh(prompt) and cached >= 32


@pytest.mark.parametrize("name", NAMES)
def test_what_was_read_for_a_client_that_hung_up(name: str, loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it did so: less than a block is read again, also where recurrent layers have no snapshot nearby."""
    blocks_of(16, monkeypatch)
    monkeypatch.setattr(recording, "SNAPSHOT_EVERY", 1 << 20)
    monkeypatch.setattr(Prefill, "_width", lambda prefill, budget: 40)  # whatever the clock says
    for steps in range(2, 6):
        session = Session(loaded(name))
        prompt = tokens(400, steps)
        run((session.engine, session.wire), iter([[ask(1, prompt)], *[[]] * steps, [Cancel(id=1)], []]))
        read = session.engine._prefills.tokens
        assert 0 < read < len(prompt) - 1
        session.number = 1
        (answer,), (cached,) = session.round(prompt)
        assert read - 16 < cached <= read, steps
        assert [answer] == session.fresh(prompt)


def test_what_was_known_of_a_sequence_that_had_to_wait(loaded: Loaded, block: int) -> None:
    """Its own prompt and answer, which it finds when it comes back, were not known of its prompt."""
    session = Session(loaded("llama"))
    session.round(tokens(20, 1), tokens(20, 2), count=40)
    yields, calls = note_yields(session.engine), itertools.count()
    session.engine._scheduler.must_yield = lambda present: next(calls) in (30, 31)  # type: ignore[method-assign]
    _, cached = session.round(tokens(24, 1), tokens(24, 2), count=40)
    assert yields and cached == [20, 20]
    gauges = session.engine.gauges()
    assert (gauges.prefix_hits, gauges.prefix_tokens) == (2, 40)


@pytest.mark.parametrize("name", NAMES)
def test_churn_in_little_room(name: str, block: int, loaded: Loaded) -> None:
    """Conversations in a cache that holds a few blocks: answers stay right, and it stays within its bytes."""
    probe = Session(loaded(name))
    probe.round(tokens(61, 1))
    limit = probe.engine._reuse.nbytes * 3 // 2
    session = Session(loaded(name), prefixes=limit)
    chance = random.Random(9)
    known = [tokens(20 + 13 * place, 30 + place) for place in range(4)]
    for turn in range(16):
        place = chance.randrange(4)
        count = chance.randint(1, 4)
        prompts = [known[place][: chance.randint(9, 60)] + tokens(chance.randint(1, 30), turn) for _ in range(count)]
        answers, _ = session.round(*prompts, count=6)
        assert answers == session.fresh(*prompts, count=6), turn
        assert session.engine._reuse.nbytes <= limit
        known[place] = (*prompts[0], *answers[0])
    assert session.engine._reuse.evictions > 0


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_leaves_the_device_buffers_for_others(
    loaded: Loaded, block: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch job of short prompts to a small model has Metal out of buffers long before memory is full."""
    monkeypatch.setattr(reuse, "kept_buffers", lambda: Buffers(most=60))
    session = Session(loaded(name))
    plain = Session(loaded(name), prefixes=0)
    for seed in range(12):
        prompt = tokens(12, seed)
        assert session.round(prompt)[0] == plain.round(prompt)[0]
        assert session.engine._reuse.kept is not None and session.engine._reuse.kept.size.buffers <= 60
    assert session.engine._reuse.evictions > 0
    assert session.round(tokens(12, 11))[1] != [0]


def test_choices_share_what_is_known(loaded: Loaded, block: int) -> None:
    """Once in the count of the request, not once a choice."""
    session = Session(loaded("llama"))
    prompt = tokens(40, 8)
    session.round(prompt)
    (answer,), (cached,) = session.round(prompt, choices=3)
    number = session.number
    assert cached == 39
    assert [session.wire.tokens(number, choice) for choice in range(3)] == [answer] * 3
    assert [session.wire.finished(number, choice).cached_tokens for choice in range(3)] == [39, 0, 0]


@pytest.mark.parametrize(
    ("caches", "limit", "sort"),
    [
        ([KVCache(), RotatingKVCache(1024)], 1, "any"),
        ([KVCache(), ArraysCache(2)], 1, "some"),
        ([CacheList(KVCache(), RotatingKVCache(64))], 1, "some"),
        ([KVCache(), RotatingKVCache(1024, keep=4)], 1, "unknown"),
        ([KVCache(), QuantizedKVCache()], 0, "unknown"),
        ([KVCache()], 0, "off"),
    ],
)
def test_what_is_said_of_a_models_caches(caches: list[Any], limit: int, sort: str) -> None:
    """From where prompts go on, and that nothing is kept of caches of a kind that nobody knows."""
    made = reuse.Reuse(limit, caches)
    assert made.sort == sort and (made.kept is None) == (sort in ("unknown", "off"))


def test_scores_of_a_prompt_need_all_of_it(loaded: Loaded, block: int) -> None:
    """`echo` with log-probabilities reads every token, and says the same as without what is kept."""
    session = Session(loaded("llama"))
    prompt = tokens(40, 8)
    session.round(prompt)
    session.round(prompt, echo=True, logprobs=1)
    echoed = session.wire.deltas(session.number)[0]
    plain = Session(loaded("llama"), prefixes=0)
    plain.round(prompt, echo=True, logprobs=1)
    first = plain.wire.deltas(1)[0]
    assert session.wire.finished(session.number).cached_tokens == 0
    assert len(echoed.logprobs) == len(first.logprobs) == 40
    assert echoed.logprobs[-1].logprob == pytest.approx(first.logprobs[-1].logprob, abs=1e-4)
