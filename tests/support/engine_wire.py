"""An engine in this process without a socket: a mailbox that a test scripts, and the events that came out of it."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

from mlx_serve.daemon.engine.generate.loop import Engine
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prompt.render import Prompts
from mlx_serve.daemon.engine.prompt.thread import Ready
from mlx_serve.daemon.protocol import Delta, Finished, Gauges, Generate, Quit, Sampling, Step, TokenPrompt

GREEDY = Sampling(temperature=0.0)


class Wire:
    """The mailbox of an engine under test: `script` says what arrives before each step, `events` what came out."""

    def __init__(self, model: LanguageModel) -> None:
        self.queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.prompts = Prompts(model)
        self.script: Iterator[list[Any]] = iter(())
        self.frames: list[Any] = []
        self.events: dict[int, list[Any]] = {}
        self.gauges = Gauges()
        self.waits = self.rounds = 0

    def send(self, frame: Any) -> None:
        self.frames.append(frame)
        if isinstance(frame, Step):
            self.gauges = frame.gauges
            for event in frame.events:
                self.events.setdefault(event.id, []).append(event)

    def drain(self, *, wait: bool) -> list[Any]:
        self.rounds += 1
        self.waits += wait
        if self.rounds > 20_000:
            raise AssertionError("the engine spins")
        arrived = next(self.script, [Quit()] if wait else [])
        return [Ready(self.prompts.prepare(one)) if isinstance(one, Generate) else one for one in arrived]

    def finished(self, number: int) -> Finished:
        last = self.events[number][-1]
        assert isinstance(last, Finished), last
        return last

    def tokens(self, number: int) -> list[int]:
        finished = self.finished(number)
        return list((finished.context or ())[finished.prompt_tokens :])

    def deltas(self, number: int) -> list[Delta]:
        return [event for event in self.events.get(number, []) if isinstance(event, Delta)]


def ask(number: int, prompt: tuple[int, ...], count: int = 12, **options: Any) -> Generate:
    given: dict[str, Any] = {"sampling": GREEDY, "ignore_eos": True, "want_context": True} | options
    return Generate(id=number, prompt=TokenPrompt(ids=prompt), max_tokens=count, **given)


def run(made: tuple[Engine, Wire], script: Iterator[list[Any]]) -> Wire:
    made[1].script = script
    made[0].run()
    return made[1]


def note_yields(engine: Engine) -> list[int]:
    """The ids of the sequences that had to wait again, as it happens."""
    scheduler, ids = engine._scheduler, []
    original = scheduler.put_back

    def put_back(sequence: Any) -> None:
        ids.append(sequence.id)
        original(sequence)

    scheduler.put_back = put_back  # type: ignore[method-assign]
    return ids
