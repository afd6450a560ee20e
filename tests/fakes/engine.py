"""An engine that says what a script says, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from mlx_serve.daemon.protocol import (
    Accepted,
    Delta,
    Embed,
    Embedded,
    Event,
    Finished,
    Generate,
    Ranked,
    Rerank,
    Started,
    Work,
)
from mlx_serve.daemon.workers.runner import EventSink

TOKENS = ["Hel", "lo", " wor", "ld"]
Script = Callable[[Generate], Iterable[Event | Exception]]


class FakeEngine:
    """Says TOKENS, or what `script` says; `hold` stops it before event `hold_at`, `pause` is the seconds after each.
    Every text is embedded as the same two numbers, and every document ranked with the same one, once `hold` is set.

    `open` counts generations under way; `cut` is set once one was left before its last event.
    """

    def __init__(self) -> None:
        self.requests: list[Work] = []
        self.open = 0
        self.cut = threading.Event()
        self.opened: asyncio.Queue[Work] = asyncio.Queue()
        self.hold: asyncio.Event | None = None
        self.hold_at = 2
        self.pause = 0.0
        self.script: Script = speak
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def submit(self, work: Work, sink: EventSink) -> int:
        self.requests.append(work)
        self.open += 1
        self.opened.put_nowait(work)
        number = len(self.requests)
        self._tasks[number] = task = asyncio.create_task(self._speak(work, sink))
        task.add_done_callback(lambda _: self._end(number))
        return number

    def cancel(self, number: int) -> None:
        task = self._end(number)
        if task is not None:
            task.cancel()
            self.cut.set()

    def _end(self, number: int) -> asyncio.Task[None] | None:
        task = self._tasks.pop(number, None)
        self.open -= task is not None
        return task

    async def _speak(self, work: Work, sink: EventSink) -> None:
        """The script once a choice; the prompt is accepted once."""
        if isinstance(work, (Embed, Rerank)):
            sink.put(Started(id=1))
            if self.hold is not None:
                await self.hold.wait()
        if isinstance(work, Rerank):
            sink.put(Ranked(id=1, logits=(0.0,) * len(work.documents), prompt_tokens=7))
            return
        if isinstance(work, Embed):
            vectors = struct.pack("<2f", 0.6, 0.8) * (len(work.texts) + len(work.ids))
            sink.put(Embedded(id=1, vectors=vectors, dimensions=2, prompt_tokens=7))
            return
        assert isinstance(work, Generate)
        for choice in range(work.choices):
            for number, event in enumerate(self.script(work)):
                if number == self.hold_at and self.hold is not None:
                    await self.hold.wait()
                if isinstance(event, Exception):
                    sink.fail(event)
                    return
                if isinstance(event, Finished):
                    event = msgspec.structs.replace(event, choice=choice, last=choice == work.choices - 1)
                elif isinstance(event, Delta):
                    event = msgspec.structs.replace(event, choice=choice)
                elif choice:
                    continue
                sink.put(event)
                if (write := sink.flush()) is not None:
                    write()
                await asyncio.sleep(self.pause)


def finished(reason: str = "stop", tokens: int = 4, **more: Any) -> Finished:
    usual = {"prompt_tokens": 7, "prefill_seconds": 0.25, "decode_seconds": 0.5}
    return Finished(id=1, reason=reason, completion_tokens=tokens, **(usual | more))


def speak(request: Generate) -> list[Event | Exception]:
    if request.render_only:
        return [Accepted(id=1, prompt_tokens=7, rendered="<rendered>", last=True)]
    deltas = [Delta(id=1, text=text, tokens=index + 1) for index, text in enumerate(TOKENS)]
    return [Accepted(id=1, prompt_tokens=7), *deltas, finished(context=(1, 2, 3) if request.want_context else None)]


def says(*events: Event | Exception) -> Script:
    """An engine that accepts, and then does exactly this."""
    return lambda request: [Accepted(id=1, prompt_tokens=7), *events]
