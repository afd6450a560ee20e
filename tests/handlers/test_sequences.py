"""Events straight from the engine to one list: merged while nobody takes them, failed once, cancelled when left."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mlx_serve.daemon.errors import RunnerDied
from mlx_serve.daemon.metrics import Metrics
from mlx_serve.daemon.protocol import Accepted, Delta, Finished, Generate, TextPrompt, TokenLogprob, ToolCall
from mlx_serve.daemon.requests.open_request import OpenRequest
from mlx_serve.handlers.failure import Incomplete
from mlx_serve.handlers.sequences import Sequences


class Model:
    """Takes work and does nothing by itself; refuses from the `refuses`-th piece on."""

    def __init__(self, refuses: int = 99) -> None:
        self.installed = SimpleNamespace(name=SimpleNamespace(display=lambda: "acme/parrot"))
        self.sinks: list[Any] = []
        self.cancelled: list[int] = []
        self.refuses = refuses

    def submit(self, work: Generate, sink: Any) -> int:
        if len(self.sinks) + 1 >= self.refuses:
            raise RunnerDied("acme/parrot", "gone")
        self.sinks.append(sink)
        return len(self.sinks)

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)


def sequences(model: Model, *choices: int) -> Sequences:
    works = [Generate(prompt=TextPrompt(text="x"), choices=count) for count in choices]
    return Sequences(model, works, Metrics(False), OpenRequest("1", "/v1/completions", ""))  # type: ignore[arg-type]


def end(choice: int = 0, *, last: bool = True) -> Finished:
    return Finished(id=1, choice=choice, reason="stop", prompt_tokens=1, completion_tokens=1, last=last)


async def test_what_waits_is_merged_and_nothing_is_lost() -> None:
    """Five thousand deltas that nobody takes are a handful of items, with every word, thought, call and probability in
    its place."""
    model = Model()
    async with sequences(model, 1) as running:
        (sink,) = model.sinks
        sink.put(Accepted(id=1, prompt_tokens=1))
        for number in range(5000):
            logprobs = (TokenLogprob(token=str(number), logprob=-1.0),)
            if number < 2500:
                sink.put(Delta(id=1, reasoning=f"r{number} ", logprobs=logprobs, tokens=number + 1))
            else:
                sink.put(Delta(id=1, text=f"{number} ", logprobs=logprobs, tokens=number + 1))
        sink.put(Delta(id=1, tool_calls=(ToolCall(name="f", arguments="{}"),), tokens=5000))
        assert len(running._items) < 2000
        sink.put(end())
        items = await running.take()
        assert [index for index, _ in items] == [0, 0, 0, 0]
        thought, said, called, _ = (event for _, event in items)
        assert isinstance(thought, Delta) and isinstance(said, Delta) and isinstance(called, Delta)
        assert thought.reasoning.split() == [f"r{number}" for number in range(2500)] and not thought.text
        assert said.text.split() == [str(number) for number in range(2500, 5000)] and not said.reasoning
        assert [entry.token for delta in (thought, said) for entry in delta.logprobs] == list(map(str, range(5000)))
        assert (said.tokens, [call.name for call in called.tool_calls]) == (5000, ["f"])
        assert not running.running


async def test_choices_of_several_prompts_are_numbered_through() -> None:
    model = Model()
    async with sequences(model, 2, 3) as running:
        first, second = model.sinks
        first.put(Accepted(id=1, prompt_tokens=5))
        second.put(Accepted(id=2, prompt_tokens=7))
        assert [event.prompt_tokens for event in await running.accepted()] == [5, 7]
        second.put(Delta(id=2, choice=2, text="last"))
        first.put(Delta(id=1, choice=1, text="second"))
        assert [index for index, _ in await running.take()] == [4, 1]
        assert running.count == 5


async def test_a_failure_comes_after_what_was_said_before_it() -> None:
    model = Model()
    async with sequences(model, 1) as running:
        (sink,) = model.sinks
        sink.put(Accepted(id=1, prompt_tokens=1))
        sink.put(Delta(id=1, text="half an"))
        sink.fail(RunnerDied("acme/parrot", "killed"))
        ((_, said),) = await running.take()
        assert isinstance(said, Delta)
        assert said.text == "half an"
        with pytest.raises(RunnerDied):
            await running.take()


async def test_a_request_that_ends_with_a_choice_missing_is_incomplete() -> None:
    model = Model()
    async with sequences(model, 2) as running:
        model.sinks[0].put(Accepted(id=1, prompt_tokens=1))
        model.sinks[0].put(end(0))
        await running.take()
        with pytest.raises(Incomplete):
            await running.take()


async def test_leaving_cancels_and_a_refused_part_cancels_the_others() -> None:
    model = Model()
    async with sequences(model, 1, 1):
        assert model.cancelled == []
    assert model.cancelled == [1, 2]
    refusing = Model(refuses=3)
    with pytest.raises(RunnerDied):
        async with sequences(refusing, 1, 1, 1):
            raise AssertionError("it was entered")
    assert refusing.cancelled == [1, 2]
