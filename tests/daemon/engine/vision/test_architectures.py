"""Every architecture that sees, in the engine's own loop: what Transformers computes, alone and in any company, and
nothing else where a prompt goes on from what was read before."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference.vision_checkpoint import recorded
from reference.vision_models import CASES, MODELS, parts
from support.drawn import noise
from support.engine_wire import GREEDY, Wire, generator, run
from support.extent import LONG, only_long
from support.picture_turns import PictureTurns
from support.pictures import picture
from support.small_blocks import blocks_of
from support.waiting import GUARD
from support.watched_logits import Rows, watch

from mlx_serve.daemon.engine import shapes
from mlx_serve.daemon.engine.generate import generator as generator_module
from mlx_serve.daemon.engine.generate.generator import Generator
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prefix.chain import Chain
from mlx_serve.daemon.protocol import Ask, Cancel, ChatPrompt, Generate

TOLERANCE = 1e-3
NAMES = list(MODELS)
EVERY_CASE = list(CASES)
Loaded = Callable[[str], LanguageModel]


def ask(number: int, name: str, case: str, **options: Any) -> Ask:
    numbers, text = CASES[case]
    pictures = tuple(picture(noise(*MODELS[name].sizes[place], seed=place)) for place in numbers)
    message = {"role": "user", "content": parts(text) if pictures else text}
    given: dict[str, Any] = {"sampling": GREEDY, "max_tokens": 6, "want_context": True, "ignore_eos": True} | options
    return Ask(id=number, work=Generate(prompt=ChatPrompt(messages=(message,), pictures=pictures), **given))


def engine(model: LanguageModel, **limits: Any) -> tuple[Generator, Wire, Rows]:
    wire = Wire(model)
    made = generator(model, wire, **({"tokens_per_step": 512} | limits))
    return made, wire, watch(made)


def check(name: str, case: str, number: int, wire: Wire, rows: Rows) -> None:
    known, finished = recorded(name), wire.finished(number)
    assert finished.context is not None
    assert list(finished.context[: finished.prompt_tokens]) == known[f"{case}.prompt"].tolist()
    found = np.stack(rows[number][:6])
    np.testing.assert_allclose(found, known[f"{case}.logits"], rtol=0, atol=TOLERANCE)
    assert wire.tokens(number) == known[f"{case}.answer"].tolist()


@pytest.mark.parametrize("case", EVERY_CASE if LONG else EVERY_CASE[::2])
@pytest.mark.parametrize("name", NAMES)
def test_alone(seeing: Loaded, name: str, case: str) -> None:
    made, wire, rows = engine(seeing(name))
    run((made, wire), iter([[ask(1, name, case)]]))
    check(name, case, 1, wire, rows)


@pytest.mark.parametrize("budget", [8, 64] if LONG else [8])
@pytest.mark.parametrize("name", NAMES)
def test_together(seeing: Loaded, name: str, budget: int) -> None:
    """Text and pictures, which come one after the other, in pieces of prompt that cut pictures where that may be."""
    model = seeing(name)
    assert model.batchable
    made, wire, rows = engine(model, max_batch=8, tokens_per_step=budget)
    made._pace.fresh._fitting.extend([budget] * 4)
    asks = [ask(number, name, EVERY_CASE[number % 4]) for number in range(8)]
    run((made, wire), iter([asks[:1], [], asks[1:3], [], asks[3:6], [], asks[6:]]))
    for number in range(8):
        check(name, EVERY_CASE[number % 4], number, wire, rows)
    assert made.audit() is None


RECURRENT = ["qwen3_5", "qwen3_5_moe"]
LIKE_OTHERS = ["gemma4", "smolvlm", "mistral3", "gemma4_moe"]
BOTH_WAYS = ["gemma3", "gemma4_large", "gemma4_moe"]  # the tokens of a picture attend to all of it
SAID = ["the system said # hello to the user", "hello the world", "and the # other one"]


@pytest.mark.parametrize("size", [8, 16] if LONG else [8])
@pytest.mark.parametrize("name", NAMES if LONG else [name for name in NAMES if name not in LIKE_OTHERS])
def test_a_later_turn_reads_only_what_is_new(
    seeing: Loaded, looks: list[int], name: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture of an earlier turn is not looked at again, though its features are not kept; one that comes later is.
    Of a prompt with another picture of the same size what comes before that is all that is known."""
    blocks_of(size, monkeypatch)
    model = seeing(name)
    one, two, other = (
        picture(noise(*MODELS[name].sizes[place], seed=seed)) for place, seed in ((0, 0), (1, 1), (0, 7))
    )
    turns, plain = PictureTurns(model, budget=48), PictureTurns(model, prefixes=0, budget=48)
    first = turns.answer(SAID[:1], [one])
    turns.engine._views.clear()
    second = turns.answer(SAID, [one, two])
    assert first.cached == 0 and second.cached >= len(first.prompt) - 1 and len(looks) == 2
    turns.engine._views.clear()
    third = turns.answer(SAID[:1], [other])
    assert model.sight is not None
    before = first.prompt.index(model.sight.token_id)
    assert third.prompt == first.prompt and len(looks) == 3 and third.reread is not None
    if name in RECURRENT:  # nothing parted there before
        assert (third.cached, third.reread.common, third.reread.reason) == (0, before, "boundary not kept")
    else:
        assert (third.cached, third.reread.common, third.reread.reason) == (before, before, "another picture")
    second.check(plain.answer(SAID, [one, two]))
    third.check(plain.answer(SAID[:1], [other]))
    assert not np.allclose(first.logits, third.logits, rtol=0, atol=10 * TOLERANCE)
    assert turns.engine.audit() is None and not turns.engine._views._features._pins


@pytest.mark.parametrize(
    "name", ["qwen2_vl", "qwen3_5", "gemma3", "qwen3_vl_moe", *["gemma4_large", "gemma4_moe", "qwen3_5_moe"] * LONG]
)
def test_an_answer_about_a_picture_is_not_read_again(
    seeing: Loaded, looks: list[int], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is longer than a window; its tokens are at positions that the picture has shifted."""
    blocks_of(8, monkeypatch)
    model, one = seeing(name), picture(noise(112, 112))
    turns, plain = PictureTurns(model), PictureTurns(model, prefixes=0)
    first = turns.answer(SAID[:1], [one], max_tokens=40)
    known = [*first.tokens, 5, 6, 7]
    second = turns.answer(SAID[:1], [one], known)
    assert second.cached == len(first.prompt) + len(first.tokens) - 1 and len(looks) == 1
    second.check(plain.answer(SAID[:1], [one], known))


@pytest.mark.parametrize("name", ["qwen2_vl", "gemma3", *["gemma4_large"] * LONG])
def test_a_beginning_that_ends_inside_a_picture(
    seeing: Loaded, looks: list[int], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows its first block was dropped: the rest of it is read by what is before, or else all of it."""
    blocks_of(8, monkeypatch)
    model, one = seeing(name), picture(noise(112, 112))
    turns = PictureTurns(model)
    first = turns.answer(SAID[:1], [one])
    kept = turns.engine._reuse.kept
    assert kept is not None and model.sight is not None
    before = first.prompt.index(model.sight.token_id)
    inside = (before + 4) // 8 * 8 + 8
    assert first.prompt[inside] == model.sight.token_id
    while len(kept) > inside // 8:
        kept._drop(next(iter(kept._blocks)))
    again = turns.answer(SAID[:1], [one])
    assert again.cached == (before if name in BOTH_WAYS else inside)
    again.check(first)


def test_a_snapshot_that_would_cut_a_picture(seeing: Loaded, looks: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where windows are no wider than a block, and the place of one lies in a picture: it is taken before that."""
    blocks_of(24, monkeypatch)
    model, one = seeing("gemma3"), picture(noise(112, 112))
    said = ["the system and " * 20 + "# hello to the user in the system"]
    turns, plain = PictureTurns(model, budget=512), PictureTurns(model, prefixes=0, budget=512)
    first = turns.answer(said, [one])
    assert model.sight is not None and first.prompt[95:97] == [model.sight.token_id] * 2
    first.check(plain.answer(said, [one]))
    kept = turns.engine._reuse.kept
    assert kept is not None
    before = first.prompt.index(model.sight.token_id)
    assert kept.find(Chain(first.prompt), before + 1).length == before
    for name in [name for name, block in kept._blocks.items() if len(block) < 24]:
        kept._drop(name)
    while len(kept) > 4:  # what is left ends in the middle of the picture
        kept._drop(next(iter(kept._blocks)))
    turns.answer(said, [one]).check(first)


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen3_5", "gemma3"] if LONG else ["qwen3_vl", "gemma3"])
def test_prompts_with_one_picture_that_arrive_together(
    seeing: Loaded, looks: list[int], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked at once, and what they have in common is read once, whatever each asks after it; one with another
    picture is among them."""
    blocks_of(8, monkeypatch)
    model = seeing(name)
    one, other = (picture(noise(*MODELS[name].sizes[0], seed=seed)) for seed in (0, 7))
    turns, plain = PictureTurns(model, budget=8), PictureTurns(model, prefixes=0)
    asked = [(["now # " + text], [shown]) for text, shown in (("hello", one), ("the user", one), ("is", other))]
    answers = turns.answers(*asked)
    common = len(answers[0].prompt) - 7  # behind which the template puts "hello" and six tokens more
    assert answers[1].cached == common and len(looks) == 2
    for found, turn in zip(answers, asked, strict=True):
        found.check(plain.answer(*turn))
    assert turns.engine.audit() is None and not turns.engine._views._features._pins


@pytest.mark.parametrize("name", ["qwen3_5", "gemma3"])
def test_a_client_that_hangs_up_and_asks_again(
    seeing: Loaded, looks: list[int], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a prompt with a picture: at most a block is read again, and the picture not at all."""
    blocks_of(8, monkeypatch)
    model = seeing(name)
    long = (["so # " + "hello to the user in the system " * 8], [picture(noise(*MODELS[name].sizes[0]))])
    turns = PictureTurns(model, budget=8)
    (gone,) = turns.asks(long)

    def script() -> Iterator[list[Any]]:
        yield [gone]
        while turns.engine._prefills.tokens < 40:
            yield []
        yield [Cancel(id=gone.id)]

    run((turns.engine, turns.wire), script())
    read = turns.engine._prefills.tokens
    again = turns.answer(*long)
    assert read < len(again.prompt) - 1 and again.cached >= read - 8 - 32 * (name in RECURRENT) and len(looks) == 1
    again.check(PictureTurns(model, prefixes=0).answer(*long))


@only_long
@pytest.mark.parametrize("name", ["qwen2_vl", "qwen3_5", "gemma3", "pixtral"])
def test_churn_of_texts_and_pictures_in_little_room(seeing: Loaded, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the shapes and the launches of a GPU: whatever arrives together, and whatever had to make room, answers are
    those of an engine that keeps nothing."""
    blocks_of(8, monkeypatch)
    monkeypatch.setattr(generator_module, "backend", lambda: "cuda")
    monkeypatch.setattr(shapes, "_GRAIN", 16)
    model, chance = seeing(name), random.Random(3)
    shown = [picture(noise(*MODELS[name].sizes[0], seed=seed)) for seed in (0, 7)]
    beginning = "hello the system and the user in this world is "
    probe = PictureTurns(model)
    probe.answer([beginning * 2 + "#" + beginning], shown[:1])
    limit = 2 * probe.engine._reuse.nbytes
    turns, plain = PictureTurns(model, prefixes=limit, budget=64), PictureTurns(model, prefixes=0, budget=64)
    turns.engine.pipelining.certain = 1 << 40
    cached = 0
    for _ in range(12):
        asked = []
        for place in range(3):
            mark, pictures = ("#", [shown[chance.randrange(2)]]) if place else ("hello", [])
            said = beginning * 2 + mark + beginning * chance.randrange(2) + " in" * chance.randrange(1, 9)
            asked.append(([said], pictures))
        for answer, turn in zip(turns.answers(*asked), asked, strict=True):
            answer.check(plain.answer(*turn))
            cached += answer.cached
        assert turns.engine._reuse.nbytes <= limit
    assert cached > 0 and turns.engine._reuse.evictions > 0 and turns.engine.audit() is None


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen3_5", "gemma3"] if LONG else ["qwen3_5", "gemma3"])
def test_a_new_process_goes_on_from_files_with_pictures(
    seeing: Loaded, looks: list[int], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does with text, and no tower runs; files of another picture are not found."""
    blocks_of(8, monkeypatch, least=16)
    model = seeing(name)
    one, other = (picture(noise(*MODELS[name].sizes[0], seed=seed)) for seed in (0, 7))
    before = PictureTurns(model, folder=tmp_path)
    first = before.answer(SAID[:1], [one])
    before.engine.close(GUARD)
    after = PictureTurns(model, folder=tmp_path)
    again, another = after.answer(SAID[:1], [one]), after.answer(SAID[:1], [other])
    after.engine.close(GUARD)
    assert len(looks) == 2 and model.sight is not None
    assert again.cached >= (len(first.prompt) - 1) // 8 * 8 and after.engine.gauges().prefix_disk_tokens >= again.cached
    assert another.cached <= first.prompt.index(model.sight.token_id)
    again.check(first)
    another.check(PictureTurns(model, prefixes=0).answer(SAID[:1], [other]))
