"""What the first requests of a model need is computed once before them: the same operations, not a list of them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import pytest
from support.engine_wire import Wire, ask, generator, run

from mlx_serve.daemon import protocol
from mlx_serve.daemon.engine import serve
from mlx_serve.daemon.engine.generate.engine_limits import Limits
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.warmup.made_up import PLAIN, REQUESTS, warm_up
from mlx_serve.daemon.protocol import Sampling

LABEL = re.compile(r'label ="([^"]+)"')
COPIES = {"Contiguous", "Split"}
"""Of a window that a prompt has filled, whose ring is turned: nothing is compiled, MLX's library has the copies."""
LIMITS = Limits(max_batch=8, tokens_per_step=512)


class Operations(set[str]):
    """The primitives of every graph that was handed to MLX to compute."""


@pytest.fixture
def operations(monkeypatch: pytest.MonkeyPatch) -> Operations:
    seen = Operations()

    def watched(compute: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arrays: Any) -> Any:
            text = io.StringIO()
            mx.export_to_dot(text, *[array for array in flat(arrays) if isinstance(array, mx.array)])
            seen.update(LABEL.findall(text.getvalue()))
            return compute(*arrays)

        return call

    for name in ("eval", "async_eval"):
        monkeypatch.setattr(mx, name, watched(getattr(mx, name)))
    return seen


def flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from flat(value)
        else:
            yield value


@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3_next"])
def test_requests_need_nothing_that_was_not_warmed(
    name: str, loaded: Callable[[str], LanguageModel], operations: Operations
) -> None:
    """Of all that clients may ask for, in batches that others join and leave: full attention, rings, states."""
    model = loaded(name)
    warm_up(model, LIMITS)
    warmed = set(operations)
    assert {"Scatter", "SliceUpdate", "RandomBits", "ArgReduce"} <= warmed
    if name == "qwen3_next":
        assert {"ArgSort", "FloorDivide"} <= warmed, "a mixture of experts sorts the tokens of a long prompt"
    operations.clear()
    samplings = [
        Sampling(temperature=0.0),
        Sampling(temperature=0.8, seed=3),
        Sampling(temperature=0.8, top_p=0.5),
        Sampling(temperature=0.8, top_k=5),
        Sampling(temperature=0.8, min_p=0.1),
        Sampling(temperature=0.8, presence_penalty=0.5, penalty_window=8, logit_bias={3: 2.0}),
        Sampling(temperature=0.0, frequency_penalty=0.5),
    ]
    asks = [
        ask(number, tuple(range(1, 4 + 9 * number)), 5 + number, sampling=sampling, logprobs=number % 3 or None)
        for number, sampling in enumerate(samplings, 1)
    ]
    wire = Wire(model)
    run((generator(model, wire, max_batch=8), wire), iter([[asks[0]], [], [], asks[1:4], [], asks[4:]]))
    assert len(wire.events) == len(samplings)
    assert operations
    assert operations <= warmed | COPIES


def test_it_ends_and_leaves_nothing(llama: LanguageModel) -> None:
    """Within a context of sixteen tokens; and the model is as it was."""
    assert all(len(request.prompt.ids) + (request.max_tokens or 0) <= 16 for request in (*REQUESTS, *PLAIN))  # type: ignore[union-attr]
    before = mx.get_active_memory()
    warm_up(llama, LIMITS)
    mx.synchronize()
    assert mx.get_active_memory() <= before + 4096


@pytest.mark.parametrize(("backend", "warmed"), [("metal", [REQUESTS]), ("cuda", [PLAIN]), ("cpu", [])])
def test_only_gpus_are_warmed(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch, backend: str, warmed: list[Any]
) -> None:
    """A CPU compiles nothing, and its steps may take a second; NVIDIA's compiler takes seconds for an operation."""
    calls: list[Any] = []
    monkeypatch.setattr(serve, "backend", lambda: backend)
    monkeypatch.setattr(serve, "warm_up", lambda model, limits, requests: calls.append(requests))
    worker(llama)
    assert calls == warmed


def test_a_model_whose_warm_up_fails_is_served(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever sends the request that fails is told; others may be well."""

    def fail(model: LanguageModel, limits: Limits, requests: Any) -> None:
        raise RuntimeError("no such\nkernel")

    monkeypatch.setattr(serve, "backend", lambda: "metal")
    monkeypatch.setattr(serve, "warm_up", fail)
    assert worker(llama).idle
    assert capsys.readouterr().err == "warm up model: RuntimeError: no such kernel\n"


def worker(model: LanguageModel) -> Any:
    """What serves the model, as the child makes it."""

    class Prompts:
        def use_model(self, data: Any) -> None:
            """It needs none."""

        def use_grammars(self, compiler: Any) -> None:
            """Nor these."""

    request = protocol.Load(path="", name="", kind="llm", max_batch=4, prefill_tokens_per_step=512)
    hello = protocol.Hello(protocol=0, pid=0, backend="cpu", device="this one", device_memory=1 << 30)
    return serve._worker(model, request, LIMITS, 1 << 30, Prompts(), hello)  # type: ignore[arg-type]
