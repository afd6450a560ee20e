"""Events that come together are put together and leave together."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from mlx_serve.daemon import protocol
from mlx_serve.daemon.protocol import Delta, Event, Generate, Rejected, Step, TextPrompt
from mlx_serve.daemon.workers import runner as runners
from mlx_serve.daemon.workers.channel import Channel
from mlx_serve.daemon.workers.runner import Runner


class Sink:
    """Notes what is done to it in a list that it shares with others."""

    def __init__(self, name: str, told: list[str], *, writes: bool = True) -> None:
        self.name = name
        self.told = told
        self.writes = writes

    def put(self, event: Event) -> None:
        self.told.append(f"{self.name} put")

    def flush(self) -> Callable[[], None] | None:
        self.told.append(f"{self.name} flush")
        return (lambda: self.told.append(f"{self.name} write")) if self.writes else None

    def fail(self, error: Exception) -> None:
        self.told.append(f"{self.name} fail")


@pytest.mark.parametrize("together", [2, 3])
async def test_all_is_put_then_some_are_flushed_and_then_written(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many frames there are and whoever is cancelled or refused in between; once for each sink that was given
    something, and never again for what is over."""
    monkeypatch.setattr(runners, "TOGETHER", together)
    child: Any = SimpleNamespace(pid=1)
    runner, told = Runner(child), list[str]()
    channel = Channel(runner._take, lambda problem: None, runner._flush)
    sent: Any = SimpleNamespace(is_closing=lambda: False, write=lambda data: None)
    channel.connection_made(sent)
    runner._channel = channel
    work = Generate(prompt=TextPrompt(text="x"))
    one, two, three, four = (runner.submit(work, Sink(name, told, writes=name != "c")) for name in ("a", "b", "c", "d"))
    runner.cancel(four)
    steps = [
        Step(events=(Delta(id=one), Delta(id=two), Delta(id=four))),
        Step(events=(Delta(id=one), Delta(id=three))),
        Step(events=(Rejected(id=two, code="internal_error", message="no"),)),
    ]
    channel.data_received(b"".join(map(protocol.encode, steps)))
    assert told[:5] == ["a put", "b put", "a put", "c put", "b fail"]
    first, second = ["a flush", "b flush"], ["a write", "b write"]
    assert told[5:] == ([*first, *second, "c flush"] if together == 2 else [*first, "c flush", *second])
    told.clear()
    channel.data_received(protocol.encode(Step(events=(Delta(id=three),))))
    assert told == ["c put", "c flush"]
    runner.cancel(one)
    runner.cancel(three)
    runner._watch and runner._watch.cancel()
