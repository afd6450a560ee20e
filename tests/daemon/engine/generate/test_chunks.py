"""Into how many chunks prompts are cut where chunks have few shapes."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import pytest
from support.engine_wire import Wire, ask, generator, run

from mlx_serve.daemon.engine.generate import prefill, prefills
from mlx_serve.daemon.engine.generate.pace import AIM, LONGEST_SECONDS, Allowance, Freshest, Pace
from mlx_serve.daemon.engine.generate.prefill import Chunk, Prefill
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.shapes import Shapes


def widths(
    model: LanguageModel, length: int, shapes: Shapes, monkeypatch: pytest.MonkeyPatch, count: int = 1
) -> tuple[list[int], Wire]:
    """Of the chunks of so many prompts, on a device that is as fast as one may be, whatever the clock says."""
    found: list[int] = []
    begin = Prefill.begin_chunk

    def noted(self: Prefill, budget: int, step: int, share: float) -> Chunk:
        chunk = begin(self, budget, step, share)
        found.append(chunk.width)
        return chunk

    monkeypatch.setattr(Prefill, "begin_chunk", noted)
    monkeypatch.setattr(Pace, "share", lambda pace, decoding: 1.0)
    for one in (Allowance, Freshest):
        monkeypatch.setattr(one, "note", lambda *_: None)
    model = replace(model, prefill_rate=1e6)
    wire = Wire(model)
    made = generator(model, wire, tokens_per_step=256, max_batch=16)
    made._shapes = shapes
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

    def noted(self: Prefill, chunk: Chunk, seconds: float) -> None:
        taken.append(seconds)
        note(self, chunk, seconds)

    monkeypatch.setattr(prefill, "time", clock)
    monkeypatch.setattr(prefills, "time", clock)
    monkeypatch.setattr(mx, "async_eval", slow)
    monkeypatch.setattr(Prefill, "note", noted)
    wire = Wire(llama)
    run((generator(llama, wire, tokens_per_step=16), wire), iter([[ask(1, tuple(range(200)), 2)]]))
    assert taken[0] >= 3.0


def test_only_prompts_of_several_steps_take_less_beside_others(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short one is read at once; of a long one each chunk has the share, the last one too."""
    found: dict[int, list[int]] = {60: [], 299: []}
    begin = Prefill.begin_chunk

    def noted(self: Prefill, budget: int, step: int, share: float) -> Chunk:
        chunk = begin(self, budget, step, share)
        found.setdefault(self.total, []).append(chunk.width)
        return chunk

    monkeypatch.setattr(Prefill, "begin_chunk", noted)
    monkeypatch.setattr(Pace, "share", lambda pace, decoding: 0.25 if decoding else 1.0)
    for one in (Allowance, Freshest):
        monkeypatch.setattr(one, "note", lambda *_: None)
    model = replace(llama, prefill_rate=200 / (LONGEST_SECONDS * AIM))
    wire = Wire(model)
    made = generator(model, wire, tokens_per_step=512)
    first, short, long = ((*range(3, 3 + length),) for length in (5, 61, 300))
    run((made, wire), iter([[ask(1, first, 60)], [], [], [ask(2, short, 2)], [], [], [ask(3, long, 2)]]))
    assert found[60] == [60]
    assert found[299] == [50] * 5 + [49]
