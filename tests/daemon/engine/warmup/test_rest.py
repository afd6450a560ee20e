"""An engine that has nothing to do makes plans for shapes, and stops as soon as somebody wants something."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest

from mlx_serve.daemon.engine.generate import generator
from mlx_serve.daemon.engine.generate.engine_limits import Limits
from mlx_serve.daemon.engine.generate.prefilling.pace import Timings
from mlx_serve.daemon.engine.generate.prefilling.prefill import Chunk, Prefill
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.warmup.rest import Rest, shapes

LIMITS = Limits(max_batch=6, tokens_per_step=64)


def test_the_shapes_are_those_that_batches_have(llama: LanguageModel) -> None:
    """Few numbers of rows, no more than a batch may have, and no prompt beyond the context."""
    found = list(shapes(replace(llama, context_length=300), LIMITS))
    assert {rows for rows, _, _ in found} == {1, 2, 3, 4, 6}
    assert {width for _, width, _ in found} == {64, 128, 192, 256}
    assert len({(rows, width) for rows, width, _ in found}) == len(found) == 20
    assert not list(shapes(replace(llama, context_length=60), LIMITS))


def test_every_shape_is_computed_once_and_leaves_nothing(llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """On from where the last rest was interrupted; a group is one chunk of the width that was planned. And once more,
    for what it takes with its plan made: that the next requests' engine knows."""
    model, computed = replace(llama, context_length=140), []
    begin = Prefill.begin_chunk

    def noted(self: Prefill, budget: int) -> Chunk:
        chunk = begin(self, budget)
        computed.append((len(self.requests), chunk.width))
        return chunk

    monkeypatch.setattr(Prefill, "begin_chunk", noted)
    monkeypatch.setattr(generator, "backend", lambda: "cuda")
    timings = Timings()
    rest = Rest(model, LIMITS, lambda: len(computed) in (2, 7), plans=True, timings=timings)
    before = mx.get_active_memory()
    rest()
    assert len(computed) == 2
    rest()
    assert len(computed) == 2, "nothing is begun while work waits"
    computed.append((0, 0))
    rest()
    assert len(computed) == 7
    computed.append((0, 0))
    rest()
    rest()
    planned = [(rows, width) for rows, width, _ in shapes(model, LIMITS)]
    found = [one for one in computed if one != (0, 0)]
    assert found[::2] == found[1::2] == planned and len(planned) == 10
    assert timings.seconds(6 * 128) < float("inf")
    mx.synchronize()
    assert mx.get_active_memory() <= before + 4096


def test_a_failure_ends_the_plans_and_nothing_else(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence for the log."""

    def fail(*arguments: Any) -> Chunk:
        raise RuntimeError("no room\nfor it")

    monkeypatch.setattr(Prefill, "begin_chunk", fail)
    rest = Rest(llama, LIMITS, lambda: False, plans=True)
    rest()
    rest()
    assert capsys.readouterr().err == "plan shapes: RuntimeError: no room for it\n"


def test_without_plans_only_memory_goes_back(llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where shapes cost nothing, and for models that cannot be batched."""

    def fail(*arguments: Any) -> Chunk:
        raise AssertionError("nothing is computed")

    monkeypatch.setattr(Prefill, "begin_chunk", fail)
    mx.clear_cache()
    mx.eval(mx.zeros(1 << 20))
    assert mx.get_cache_memory() >= 4 << 20
    for rest in (
        Rest(llama, LIMITS, lambda: False, plans=False),
        Rest(replace(llama, batchable=False), LIMITS, lambda: False, plans=True),
        Rest(None, LIMITS, lambda: False, plans=True),
    ):
        rest()
    assert mx.get_cache_memory() < 4096  # what other tests' arrays let go of in the same moment
