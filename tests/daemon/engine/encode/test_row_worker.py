"""The worker of rows: turns, cancelling at every stage, one batch on the device, failures that stay small."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from reference.encoder_texts import TEXTS
from support.extent import only_long
from support.row_engine import RowEngine, matrix

from mlx_serve.daemon.engine.encode.packing import Budget
from mlx_serve.daemon.engine.prompt.prompt_frames import unpack
from mlx_serve.daemon.protocol import Count, Counted, Embed, Embedded, Generate, Rejected, Rerank, TextPrompt

from .conftest import Engine

MANY = tuple(f"{place} {'word ' * (place % 15)}" for place in range(2048))


@pytest.fixture
def bert(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> RowEngine:
    """A slow device: a batch takes at most a few rows."""
    made = engine("bert-mean")
    monkeypatch.setattr(made.worker, "_budget", lambda: Budget(512))
    made.prompts.asked.clear()
    return made


def test_short_requests_do_not_wait_for_a_large_one(bert: RowEngine) -> None:
    """A lone text that comes while 2,048 are under way is through within four batches, again and again."""
    large = bert.put(Embed(texts=MANY))
    for _ in range(5):
        short, steps = bert.put(Embed(texts=("hello",))), bert.worker.gauges().steps
        bert.finish([short])
        assert bert.worker.gauges().steps - steps <= 4
        assert bert.started.count(short) == bert.started.count(large) == 1, "each is told once to have left the queue"
    assert large not in bert.events
    bert.worker.cancel(large)


@only_long
def test_a_large_request_is_tokenized_in_parts(bert: RowEngine) -> None:
    """Two ahead, so that the parts of others come between; all of them come out in their places."""
    bert.prompts.hold = True
    number = bert.put(Embed(texts=MANY))
    first = list(bert.prompts.asked)
    assert [len(ask.work.texts) for ask in first] == [256, 256]
    assert [ask.work.first for ask in first] == [0, 256]
    bert.prompts.hold = False
    for ask in first:
        bert.prompts.answer(ask)
    (event,) = bert.finish([number])
    vectors = matrix(event)
    assert vectors.shape == (2048, 64)
    for place in (0, 255, 256, 2047):
        np.testing.assert_allclose(vectors[place], bert.vectors(MANY[place])[0], rtol=0, atol=1e-5)


def test_a_large_request_ends_beside_an_endless_stream_of_short_ones(bert: RowEngine) -> None:
    large = bert.put(Embed(texts=MANY[:200]))
    for _ in range(2000):
        bert.put(Embed(texts=("hello",)))
        bert.step()
        if large in bert.events:
            break
    assert isinstance(bert.events[large][-1], Embedded)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4])
def test_cancelled_at_any_stage_nothing_follows(bert: RowEngine, steps: int) -> None:
    """Before it is tokenized, waiting, on the device, or with results to come; the others get theirs."""
    bert.prompts.hold = steps == 0
    number = bert.put(Embed(texts=MANY[:300]))
    bert.prompts.hold = False
    for _ in range(steps):
        bert.step()
    bert.worker.cancel(number)
    (event,) = bert.ask(Embed(texts=("after",)))
    assert isinstance(event, Embedded) and number not in bert.events
    while not bert.worker.idle:
        bert.step()
    assert number not in bert.events and bert.worker.audit() is None
    assert bert.worker.gauges().waiting == 0


def test_one_batch_is_on_the_device_at_a_time(bert: RowEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is launched only after the last one has been waited for; its results are taken apart after that."""
    happened = []
    launch, evaluate = mx.async_eval, mx.eval
    monkeypatch.setattr(mx, "async_eval", lambda *arrays: (happened.append("launch"), launch(*arrays))[1])
    monkeypatch.setattr(mx, "eval", lambda *arrays: (happened.append("wait"), evaluate(*arrays))[1])
    bert.ask(Embed(texts=MANY[:100]))
    assert happened == ["launch", "wait"] * (len(happened) // 2) and len(happened) > 4


def test_requests_share_batches(engine: Engine) -> None:
    """Sixteen short texts of as many clients take two batches at most."""
    made = engine("bert-mean")
    before = made.worker.gauges().steps
    made.ask(*[Embed(texts=(f"text number {number}",)) for number in range(16)])
    assert made.worker.gauges().steps - before <= 2


def test_values_that_are_not_numbers_fail_that_request_alone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine("bert-mean")
    compute = made.task.compute

    def broken(rows: list[object]) -> mx.array:
        values = compute(rows)
        bad = mx.array([row.tokens[1] == 113 for row in rows])  # type: ignore[attr-defined]  # a q
        return mx.where(bad[:, None], mx.array(float("nan")), values)

    monkeypatch.setattr(made.task, "compute", broken)
    well, ill = made.ask(Embed(texts=("hello", "world")), Embed(texts=("quiet", "hello")))
    assert isinstance(well, Embedded) and np.isfinite(matrix(well)).all()
    assert isinstance(ill, Rejected) and ill.code == "numerical_error" and "input 0" in ill.message


def test_memory_that_runs_out_fails_those_requests_alone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine("bert-mean")
    compute = made.task.compute

    def scarce(rows: list[object]) -> mx.array:
        if any(len(row.tokens) > 50 for row in rows):  # type: ignore[attr-defined]
            raise RuntimeError("[malloc_or_wait] Unable to allocate 999 bytes.")
        return compute(rows)

    monkeypatch.setattr(made.task, "compute", scarce)
    small, large = made.ask(Embed(texts=("hello",)), Embed(texts=("word " * 18,)))
    assert isinstance(small, Embedded)
    assert isinstance(large, Rejected) and large.code == "insufficient_memory"


def test_another_failure_of_the_device_is_not_hidden(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop ends the process then, for nobody knows what state the device is in."""
    made = engine("bert-mean")

    def broken(rows: list[object]) -> mx.array:
        raise RuntimeError("the device is gone")

    with monkeypatch.context() as patch:
        patch.setattr(made.task, "compute", broken)
        number = made.put(Embed(texts=("hello",)))
        with pytest.raises(RuntimeError, match="the device is gone"):
            made.step()
    made.worker.cancel(number)


def test_work_of_another_kind_is_refused(engine: Engine) -> None:
    (event,) = engine("bert-mean").ask(Rerank(query="q", documents=("a",)))
    assert isinstance(event, Rejected) and event.code == "unsupported"
    (event,) = engine("bert-pairs").ask(Generate(prompt=TextPrompt(text="a")))
    assert isinstance(event, Rejected) and event.code == "unsupported"


def test_counting(engine: Engine) -> None:
    (event,) = engine("bert-mean").ask(Count(prompts=(TextPrompt(text="hello"),), return_tokens=True))
    assert isinstance(event, Counted) and event.counts == (3,) and len(unpack(event.tokens[0])) == 3


def test_usage_counts_every_token_and_no_padding(engine: Engine) -> None:
    """Those of the prompt and the special ones too."""
    made = engine("bert-mean")
    (event,) = made.ask(Embed(texts=TEXTS))
    each = made.ask(*[Count(prompts=(TextPrompt(text=text),)) for text in TEXTS])
    assert event.prompt_tokens == sum(count.count for count in each)
