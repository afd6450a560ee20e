"""An engine that says what a script says, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

from mlx_serve.daemon.protocol import Accepted, Delta, Event, Finished, Generate

TOKENS = ["Hel", "lo", " wor", "ld"]
Script = Callable[[Generate], Iterable[Event | Exception]]


class FakeEngine:
    """Says TOKENS, or what `script` says; `hold` stops it before event `hold_at`, `pause` is the seconds after each.

    `open` counts generations under way; `cut` is set once one was left before its last event.
    """

    def __init__(self) -> None:
        self.requests: list[Generate] = []
        self.open = 0
        self.cut = threading.Event()
        self.opened: asyncio.Queue[Generate] = asyncio.Queue()
        self.hold: asyncio.Event | None = None
        self.hold_at = 2
        self.pause = 0.0
        self.script: Script = speak

    async def generate(self, request: Generate) -> AsyncGenerator[Event]:
        self.requests.append(request)
        self.open += 1
        self.opened.put_nowait(request)
        try:
            for number, event in enumerate(self.script(request)):
                if number == self.hold_at and self.hold is not None:
                    await self.hold.wait()
                if isinstance(event, Exception):
                    raise event
                yield event
                await asyncio.sleep(self.pause)
        except (asyncio.CancelledError, GeneratorExit):
            self.cut.set()
            raise
        finally:
            self.open -= 1


def finished(reason: str = "stop", tokens: int = 4, **more: Any) -> Finished:
    usual = {"prompt_tokens": 7, "prefill_seconds": 0.25, "decode_seconds": 0.5}
    return Finished(id=1, reason=reason, completion_tokens=tokens, **(usual | more))


def speak(request: Generate) -> list[Event | Exception]:
    if request.render_only:
        return [Accepted(id=1, prompt_tokens=7, rendered="<rendered>")]
    deltas = [Delta(id=1, text=text, tokens=index + 1) for index, text in enumerate(TOKENS)]
    return [Accepted(id=1, prompt_tokens=7), *deltas, finished(context=(1, 2, 3) if request.want_context else None)]


def says(*events: Event | Exception) -> Script:
    """An engine that accepts, and then does exactly this."""
    return lambda request: [Accepted(id=1, prompt_tokens=7), *events]
