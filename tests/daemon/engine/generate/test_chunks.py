"""Into how many chunks prompts are cut where chunks have few shapes."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import pytest
from support.engine_wire import Wire, ask, generator, run

from mlx_serve.daemon.engine import shapes as engine_shapes
from mlx_serve.daemon.engine.generate.prefilling import prefills
from mlx_serve.daemon.engine.generate.prefilling.pace import Allowance, Freshest, Pace, Timings, chunk_seconds
from mlx_serve.daemon.engine.generate.prefilling.prefill import Chunk, Prefill
from mlx_serve.daemon.engine.generate.prefilling.prefills import Prefills
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.shapes import Shapes
from mlx_serve.daemon.protocol import Cancel, Finished, Step


def widths(
    model: LanguageModel, length: int, shapes: Shapes, monkeypatch: pytest.MonkeyPatch, count: int = 1, step: int = 256
) -> tuple[list[int], Wire]:
    """Of the chunks of so many prompts, on a device that is as fast as one may be, whatever the clock says."""
    found: list[int] = []
    begin = Prefill.begin_chunk

    def noted(self: Prefill, budget: int) -> Chunk:
        chunk = begin(self, budget)
        found.append(chunk.width)
        return chunk

    monkeypatch.setattr(Prefill, "begin_chunk", noted)
    for one in (Allowance, Freshest):
        monkeypatch.setattr(one, "note", lambda *_: None)
    model = replace(model, prefill_rate=1e6)
    wire = Wire(model)
    made = generator(model, wire, tokens_per_step=step, max_batch=16)
    made._admission.shapes = shapes
    tokens = random.Random(length)
    prompts = [tuple(tokens.choices(range(3, model.rows), k=length)) for _ in range(count)]
    run((made, wire), iter([[ask(number, prompt, 4) for number, prompt in enumerate(prompts, 1)]]))
    monkeypatch.undo()
    return found, wire


@pytest.mark.parametrize("length", [2, 64, 65, 66, 210, 257])
def test_a_prompt_that_fits_is_one_chunk(llama: LanguageModel, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its width is not cut down to a multiple of what chunks are padded to; and padding changes no token."""
    found, wire = widths(llama, length, Shapes(few=True), monkeypatch)
    plain, exact = widths(llama, length, Shapes(), monkeypatch)
    assert found == plain == [length - 1]
    assert wire.tokens(1) == exact.tokens(1)


def test_a_group_that_fits_is_one_chunk(llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine prompts of 209 tokens are within eight times 256; what they are padded to is not, nor is the budget of each
    a multiple of what chunks are padded to."""
    found, wire = widths(llama, 210, Shapes(few=True), monkeypatch, count=10)
    assert set(found) == {209} and len(found) < 10
    _, exact = widths(llama, 210, Shapes(), monkeypatch, count=10)
    assert [wire.tokens(number) for number in range(1, 11)] == [exact.tokens(number) for number in range(1, 11)]


def test_what_a_chunk_takes_begins_with_its_operations(llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLX's CPU backend computes most of it before the call that begins it returns: a clock that only goes on there."""
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    taken: list[float] = []
    begin, note = mx.async_eval, Prefill.note

    def slow(*arrays: Any) -> None:
        clock.now += 3.0
        begin(*arrays)

    def noted(self: Prefill, chunk: Chunk, layers: int, seconds: float) -> None:
        taken.append(seconds)
        note(self, chunk, layers, seconds)

    monkeypatch.setattr(prefills, "time", clock)
    monkeypatch.setattr(mx, "async_eval", slow)
    monkeypatch.setattr(Prefill, "note", noted)
    wire = Wire(llama)
    run((generator(llama, wire, tokens_per_step=16), wire), iter([[ask(1, tuple(range(200)), 2)]]))
    assert taken[0] >= 3.0


def pieces(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, *, layers: int, brief: float = 0.0
) -> list[tuple[int, int]]:
    """What is launched from now on, one a step: the tokens of its prompts, and how many layers of a chunk."""
    found: list[tuple[int, int]] = []
    take = Prefill.take

    def noted(self: Prefill, layers: int) -> list[mx.array]:
        found.append((self.total, layers))
        return take(self, layers)

    monkeypatch.setattr(Prefill, "take", noted)
    monkeypatch.setattr(Pace, "brief", lambda pace, decoding, several: brief)
    monkeypatch.setattr(Pace, "owed", False)
    monkeypatch.setattr(Chunk, "layers", lambda chunk, seconds, tokens: layers)
    for one in (Allowance, Freshest, Timings):
        monkeypatch.setattr(one, "note", lambda *_: None)
    return found


def test_those_who_decode_go_on_between_the_layers_of_a_chunk(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt of one chunk is read in as many steps as it has pieces, and the others get a token in each."""
    count = len(llama.network.layers)
    found = pieces(llama, monkeypatch, layers=1)
    wire = Wire(llama)
    made = generator(llama, wire, tokens_per_step=512)
    asked = [[ask(1, (5, 6, 7), 60)], *[[]] * 5, [ask(2, tuple(range(3, 303)), 2)]]
    run((made, wire), iter(asked))
    assert found == [(2, 1)] * count + [(299, 1)] * count
    plain = run((generator(llama, wire := Wire(llama), tokens_per_step=512), wire), iter(asked))
    assert [wire.tokens(number) for number in (1, 2)] == [plain.tokens(number) for number in (1, 2)]


@pytest.mark.parametrize("blocking", [True, False])
def test_those_who_decode_give_way_to_short_prompts_on_a_cpu_alone(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch, blocking: bool
) -> None:
    """A GPU computes pieces that are as long as a step of theirs while the next one is built, so both go on."""
    pieces(llama, monkeypatch, layers=1)
    asked: list[bool] = []
    monkeypatch.setattr(Pace, "piece", lambda pace, decoding, short=False: asked.append(short) or 0.01)
    wire = Wire(llama)
    made = generator(llama, wire, tokens_per_step=512)
    made._prefills.blocking = blocking
    run((made, wire), iter([[ask(1, (5, 6, 7), 60)], *[[]] * 5, [ask(2, tuple(range(3, 303)), 2)]]))
    assert set(asked) == {blocking}


def test_chunks_of_long_prompts_end_at_the_same_places(llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are few shapes, whatever a chunk may have; what is said is the same."""
    monkeypatch.setattr(engine_shapes, "CHUNK", 128)
    found, wire = widths(llama, 500, Shapes(few=True), monkeypatch, step=16)
    plain, exact = widths(llama, 500, Shapes(), monkeypatch, step=16)
    assert found == [128, 128, 128, 115] and plain == [192, 192, 115]
    assert wire.tokens(1) == exact.tokens(1)


def test_a_shorter_prompt_passes_between_the_layers_of_a_chunk(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes while a chunk is computed waits for a piece of it. And what they say is what they say alone."""
    found = pieces(llama, monkeypatch, layers=1)
    monkeypatch.setattr(Prefills, "brief", lambda prefills, one, budget, decoding: one.total < 99 and not one.chunk)
    long, short = tuple(range(3, 303)), tuple(range(9, 30))
    wire = Wire(llama)
    run((generator(llama, wire, tokens_per_step=512), wire), iter([[ask(1, long, 4)], [ask(2, short, 4)]]))
    count = len(llama.network.layers)
    assert found == [(299, 1), (20, count), *[(299, 1)] * (count - 1)]
    for number, prompt in ((1, long), (2, short)):
        alone = Wire(llama)
        run((generator(llama, alone, tokens_per_step=512), alone), iter([[ask(number, prompt, 4)]]))
        assert wire.tokens(number) == alone.tokens(number)


def test_what_is_short_is_read_at_once(llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """All layers in one step, where that is all that is left of it; of a long one no chunk is, the last one neither."""
    count = len(llama.network.layers)
    seconds = chunk_seconds(count)
    found = pieces(llama, monkeypatch, layers=1, brief=0.35 * seconds)
    model = replace(llama, prefill_rate=200 / seconds)
    wire = Wire(model)
    made = generator(model, wire, tokens_per_step=512)
    first, short, long = ((*range(3, 3 + length),) for length in (5, 61, 290))
    run((made, wire), iter([[ask(1, first, 60)], [], [], [ask(2, short, 2)], [], [], [ask(3, long, 2)]]))
    assert found == [(4, count), (60, count), *[(289, 1)] * (2 * count)]


def test_only_short_prompts_go_on_while_those_who_decode_are_owed_time(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long one waits for their end, for here they are always owed some; a group is short where each of it is."""
    found = pieces(llama, monkeypatch, layers=1)
    monkeypatch.setattr(Pace, "owed", True)
    model = replace(llama, prefill_rate=2500.0)
    wire = Wire(model)
    made = generator(model, wire, tokens_per_step=512, max_batch=8)
    made._pace.blocking = False  # as on a GPU, where many are read together
    first, long = (5, 6, 7), (*range(3, 303), *range(3, 203))
    group = [ask(number, tuple(range(number, number + 70)), 2) for number in (2, 3, 4)]
    run((made, wire), iter([[ask(1, first, 40)], *[[]] * 3, [ask(5, long, 2), *group]]))
    events = [event for frame in wire.frames if isinstance(frame, Step) for event in frame.events]
    assert [event.id for event in events if isinstance(event, Finished)] == [2, 3, 4, 1, 5]
    count = len(llama.network.layers)
    assert found.count((69, 1)) == count and found[-3 * count :] == [(499, 1)] * (3 * count)  # in three chunks


def test_a_long_prompt_ends_though_first_tokens_come_in_every_step(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for two tokens again and again holds its pieces up, but not for ever."""
    found = pieces(llama, monkeypatch, layers=1)
    monkeypatch.setattr(Prefills, "brief", lambda prefills, one, budget, decoding: one.total < 99 and not one.chunk)
    wire = Wire(llama)
    made = generator(llama, wire, tokens_per_step=512, max_batch=8)
    made._prefills.blocking = False  # as on a GPU, where a step is launched before the last one is read
    short = [[ask(number, (number % 99 + 3, 5, 6), 2)] for number in range(2, 120)]
    run((made, wire), iter([[ask(2, (3, 5, 6), 9)], [], [ask(1, tuple(range(3, 303)), 2)], *short[1:]]))
    events = [event for frame in wire.frames if isinstance(frame, Step) for event in frame.events]
    ended = [event.id for event in events if isinstance(event, Finished)]
    assert len(ended) == 119 and ended.index(1) < 60
    assert found.count((299, 1)) == len(llama.network.layers)


def test_a_chunk_that_is_kept_is_computed_to_its_end(llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever hangs up in the middle of it and asks again reads it once; where nothing is kept it ends at once."""
    count = len(llama.network.layers)
    prompt = tuple(range(3, 303)) + tuple(range(3, 153))
    for prefixes, launched in ((1 << 30, count), (0, 1)):
        with monkeypatch.context() as patch:
            found = pieces(llama, patch, layers=1)
            wire = Wire(llama)
            made = generator(llama, wire, tokens_per_step=600, prefixes=prefixes, memory=1 << 32)
            run((made, wire), iter([[ask(1, prompt, 4)], [Cancel(id=1)], *[[]] * 9, [ask(2, prompt, 4)]]))
            again = 0 if prefixes else count
            assert found == [(449, 1)] * (launched + again)
            assert wire.gauges.prompt_tokens == (449 if prefixes else 2 * 449)


def test_a_chunk_has_pieces_that_take_their_time() -> None:
    """As many layers as take about so long by what the last ones took, and as count as no more than so many tokens. The
    first one is had for nothing, for what it leaves in its cache needs no attention, and says nothing of the others."""
    chunk = Chunk(100, 100, 28)
    chunk.each = 0.01
    assert (chunk.layers(1.0, 100), chunk.layers(0.1, 100), chunk.layers(0.005, 100)) == (28, 11, 2)
    assert (chunk.layers(1.0, 50), chunk.layers(0.1, 25), chunk.layers(1.0, 1)) == (15, 8, 2)
    chunk.note(1, 0.001)
    assert (chunk.layers(0.1, 100), chunk.layers(1.0, 50)) == (10, 14)
    chunk.note(9, 0.899)
    assert (chunk.layers(0.1, 100), chunk.over) == (1, False)
    chunk.note(1, 0.005)
    assert chunk.layers(0.1, 100) == 20
    chunk.note(17, 0.1)
    assert chunk.over and chunk.seconds == pytest.approx(1.005)
