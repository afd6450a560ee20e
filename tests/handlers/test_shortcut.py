"""A stream's events are written where they arrive while nothing is in the way; else its task takes them as before."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from fakes.engine import finished, says
from fakes.serving import MODEL, Serving, raw
from support.waiting import soon

from mlx_serve.daemon.metrics import Metrics
from mlx_serve.daemon.protocol import Delta, Finished, Generate, TextPrompt, TokenLogprob
from mlx_serve.daemon.requests.open_request import OpenRequest
from mlx_serve.handlers.items import Item
from mlx_serve.handlers.sequences import Sequences
from mlx_serve.handlers.stream import Shortcut, Stream

MESSAGES = [{"role": "user", "content": "hi"}]
BODIES: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"messages": MESSAGES, "stream_options": {"include_usage": True}},
    "/v1/completions": {"prompt": "hi", "logprobs": 1},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 20},
    "/v1/responses": {"input": "hi"},
    "/api/chat": {"messages": MESSAGES},
    "/api/generate": {"prompt": "hi"},
}


class Way:
    """Takes what it is given, unless it is `blocked` or has an error to raise."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.written = 0
        self.blocked = False
        self.error: Exception | None = None

    def prepare(self, items: list[Item]) -> Callable[[], None] | None:
        if self.error is not None:
            raise self.error
        if self.blocked:
            return None
        self.taken += [event.text for _, event in items if isinstance(event, Delta)]
        return self.write

    def write(self) -> None:
        self.written += 1


class Asked:
    """Two prompts of one request whose task waits with a way past it; `say` is what a step of the engine does."""

    def __init__(self, limit: float = 0) -> None:
        self.sinks: list[Any] = []
        model: Any = SimpleNamespace(
            installed=SimpleNamespace(name=SimpleNamespace(display=lambda: MODEL)),
            submit=lambda work, sink: self.sinks.append(sink) or len(self.sinks),
            cancel=lambda number: None,
        )
        self.request = OpenRequest("1", "/v1/completions", "")
        works = [Generate(prompt=TextPrompt(text="x"))] * 2
        self.running = Sequences(model, works, Metrics(False), self.request, limit)
        self.way = Way()

    async def wait(self) -> asyncio.Task[list[Item]]:
        task = asyncio.create_task(self.running.take(None, self.way))
        await asyncio.sleep(0)
        return task

    def say(self, *events: tuple[int, Delta | Finished]) -> None:
        for number, event in events:
            self.sinks[number].put(event)
        writes = [write for sink in self.sinks if (write := sink.flush()) is not None]
        for write in writes:
            write()


def delta(text: str, tokens: int = 1) -> Delta:
    return Delta(id=1, text=text, tokens=tokens)


async def test_what_came_together_is_one_write_and_wakes_nobody() -> None:
    """Of both prompts, in their order, neighbours joined; the request knows how many tokens there are."""
    asked = Asked()
    async with asked.running:
        task = await asked.wait()
        asked.say((0, delta("a")), (0, delta("b", 2)), (1, delta("c")))
        asked.say((0, delta("d", 3)))
        await asyncio.sleep(0)
        assert (asked.way.taken, asked.way.written) == (["ab", "c", "d"], 2)
        assert asked.request.generated_tokens == 4 and not task.done()
        task.cancel()


async def test_the_end_is_for_the_task() -> None:
    """With what came beside it, and only the end of all: what follows it leaves with it."""
    asked = Asked()
    async with asked.running:
        task = await asked.wait()
        asked.say((0, delta("a")), (0, finished()))
        asked.say((1, delta("b")), (1, finished()))
        assert [type(event) for _, event in await soon(task)] == [Delta, Finished]
        assert asked.way.taken == ["a"] and not asked.running.running


async def test_what_cannot_go_through_is_taken_by_the_task() -> None:
    """Also what comes before the task has had its turn, behind what it has to wait for."""
    asked = Asked()
    async with asked.running:
        task = await asked.wait()
        asked.way.blocked = True
        asked.say((0, delta("a")))
        asked.way.blocked = False
        asked.say((0, delta("b", 2)))
        ((_, said),) = await soon(task)
        assert isinstance(said, Delta)
        assert said.text == "ab" and asked.way.taken == []


async def test_what_the_way_raises_is_raised_to_the_task() -> None:
    asked = Asked()
    async with asked.running:
        task = await asked.wait()
        asked.way.error = ValueError("no such text")
        asked.say((0, delta("a")))
        with pytest.raises(ValueError, match="no such text"):
            await soon(task)


async def test_nothing_goes_through_once_the_task_is_cancelled_or_its_time_is_over() -> None:
    """Nobody is told a token after the request has ended."""
    asked = Asked()
    async with asked.running:
        task = await asked.wait()
        task.cancel()
        asked.say((0, delta("a")))
        with pytest.raises(asyncio.CancelledError):
            await soon(task)
    late = Asked(limit=1000)
    async with late.running:
        task = await late.wait()
        late.running._deadline = 0.0
        late.say((0, delta("a")))
        with pytest.raises(TimeoutError):
            await soon(task)
    assert asked.way.taken == late.way.taken == []


async def test_a_choice_that_nobody_asked_for_is_the_task_s_trouble() -> None:
    """What carries the events of every request goes on: nothing is raised to it."""
    asked = Asked()
    async with asked.running:
        task = await asked.wait()
        asked.say((1, Delta(id=1, choice=7, text="odd", tokens=3)))
        assert asked.way.taken == ["odd"] and asked.request.generated_tokens == 3
        task.cancel()


@pytest.mark.parametrize("path", BODIES)
async def test_the_bytes_are_the_same(serving: Serving, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every dialect, to HTTP/1.1 and HTTP/1.0, with thoughts, probabilities and texts that have to be escaped."""
    used: list[bool] = []
    prepare = Shortcut.prepare

    def counted(self: Shortcut, items: list[Item]) -> Callable[[], None] | None:
        write = prepare(self, items)
        used.append(write is not None)
        return write

    monkeypatch.setattr(Shortcut, "prepare", counted)
    probability = TokenLogprob(token="x", logprob=-1.0, top=(TokenLogprob(token="x", logprob=-1.0),))
    texts = [Delta(id=1, text=text, logprobs=(probability,), tokens=2) for text in ('q"\u2028', "é\n", "end")]
    serving.engine.script = says(Delta(id=1, reasoning="hm", tokens=1), *texts, Delta(id=1), finished())
    asked = {"model": MODEL, "stream": True} | BODIES[path]
    answers = {}
    for version in (b"1.1", b"1.0"):
        for shortcut in (True, False):
            with monkeypatch.context() as patched:
                if not shortcut:
                    patched.setattr(Stream, "outlet", lambda self: None)
                reader, writer = await raw(serving, path, asked, version=version)
                writer.write_eof() if version == b"1.0" else None
                whole = await soon(reader.read() if version == b"1.0" else reader.readuntil(b"\r\n0\r\n\r\n"))
                writer.close()
            body = whole.partition(b"\r\n\r\n")[2]
            answers[version, shortcut] = [plain(part) for part in (chunks(body) if version == b"1.1" else [body])]
    assert answers[b"1.1", True] == answers[b"1.1", False]
    assert answers[b"1.0", True] == answers[b"1.0", False]
    assert used and all(used)


def chunks(body: bytes) -> list[bytes]:
    """The chunks of a whole body; raises where it is none."""
    found = []
    while body:
        size, _, body = body.partition(b"\r\n")
        part, end, body = body[: int(size, 16)], body[int(size, 16) :][:2], body[int(size, 16) + 2 :]
        assert end == b"\r\n"
        found.append(part)
    return found


def plain(body: bytes) -> bytes:
    """Without what differs from one answer to the next: random ids, and times."""
    body = re.sub(rb'"(created_at|created|completed_at)":("[^"]*"|[0-9.]+)', b'"time"', body)
    return re.sub(rb'(?<=[_-])[0-9a-f]{20,}|"[a-z]+_duration":[0-9]+', b"", body)
