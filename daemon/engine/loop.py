"""The engine: inbox, step, outbox. One thread, the only one that touches MLX, but for one that it may hand steps to
(`generate/dispatch.py`). What a step does is the worker's."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from ..protocol import Ask, Cancel, Event, Fatal, Gauges, Limit, Ping, Pong, Quit, Step
from .device import MemoryShare, out_of_memory
from .mailbox import Mailbox

BEAT_SECONDS = 1.0
REST_SECONDS = 1.0
FULL = "the device's memory is full: end what else uses it, or let models have less with models.memory_limit"


class Worker(Protocol):
    """Does one kind of model's work: the prompts, batches and results of everything that was admitted."""

    def admit(self, ask: Ask) -> None:
        """Take work in; its events come out of `drain` sooner or later."""

    def receive(self, result: Any) -> None:
        """Take what a thread of the worker's own has put into the mailbox."""

    def cancel(self, number: int) -> None:
        """Drop the work of this id wherever it is; no event of it follows."""

    def step(self) -> None:
        """One step on the device. After an exception the state of the device is unknown."""

    def drain(self) -> list[Event]:
        """The events since the last call."""

    @property
    def idle(self) -> bool:
        """No step is needed until the next message."""

    @property
    def awaited(self) -> float:
        """Seconds for which the next step had better wait for a message; 0: it is due."""

    def audit(self) -> str | None:
        """At rest: what of the worker's own books disagrees, as a sentence for the log; None when all agree."""

    def gauges(self) -> Gauges: ...

    def limit(self, memory: int, *, tight: bool) -> None:
        """MLX may hold so many bytes from now on; who runs beyond them gives way in the next step. `tight`: what is
        only kept for later goes, and little more is kept."""


class Quitting(Exception):
    """The parent asked the child to end."""


class Loop:
    """Runs one worker until the parent says Quit. `rest` is called when no work has come for REST_SECONDS; it gives
    after how many seconds without work it is called again, None: not in this rest. `after_step` is called when the
    events of a step are sent. `share`: the worker's memory; at rest it is told of what that has become."""

    def __init__(
        self,
        worker: Worker,
        mailbox: Mailbox,
        rest: Callable[[], float | None] = lambda: None,
        after_step: Callable[[], None] = lambda: None,
        share: MemoryShare | None = None,
    ) -> None:
        self._worker = worker
        self._mailbox = mailbox
        self._rest = rest
        self._after_step = after_step
        self._share = share
        self._tight = False
        self._patience: float | None = REST_SECONDS
        self._beat = time.monotonic()
        self._reported_idle = True
        self._audited = False

    def run(self) -> None:
        """Returns when the parent says Quit, or after a failure that needs a new process."""
        try:
            while True:
                self._take_inbox()
                self._step()
                self._send_outbox()
                self._after_step()
        except Quitting:
            return

    def _take_inbox(self) -> None:
        idle = self._worker.idle
        messages = self._mailbox.drain(wait=idle, seconds=self._patience)
        self._patience = REST_SECONDS
        if idle and not messages:
            if self._share is not None and self._share.ask_again():
                self._worker.limit(self._share.has, tight=self._tight)
            self._patience = self._rest()
            self._mailbox.send(Step(gauges=self._worker.gauges()))
        self._take(messages)
        while (seconds := self._worker.awaited) > 0:
            self._take(self._mailbox.drain(wait=True, seconds=seconds))

    def _take(self, messages: list[Any]) -> None:
        for message in messages:
            match message:
                case Ask():
                    self._worker.admit(message)
                case Cancel():
                    self._worker.cancel(message.id)
                case Limit():
                    self._share, self._tight = MemoryShare(message.memory_limit), message.tight
                    self._worker.limit(self._share.has, tight=message.tight)
                case Ping():
                    self._mailbox.send(Pong(id=message.id, gauges=self._worker.gauges()))
                case Quit():
                    raise Quitting
                case _:
                    self._worker.receive(message)

    def _audit(self) -> None:
        """Whenever the engine comes to rest; the log is told once, for a process that disagrees goes on doing so."""
        problem = self._worker.audit()
        if problem is not None and not self._audited:
            self._audited = True
            sys.stderr.write(f"audit engine: {problem}\n")
            sys.stderr.flush()

    def _step(self) -> None:
        try:
            self._worker.step()
        except Exception as error:
            reason = FULL if out_of_memory(error) else "the engine failed in a step"
            self._fail(f"{reason} ({type(error).__name__}: {' '.join(str(error).split())[:300]})")

    def _fail(self, reason: str) -> None:
        self._send_outbox()
        self._mailbox.send(Fatal(message=reason))
        raise Quitting

    def _send_outbox(self) -> None:
        events = self._worker.drain()
        now = time.monotonic()
        idle = self._worker.idle
        if events or (idle and not self._reported_idle) or now - self._beat > BEAT_SECONDS:
            if idle and not self._reported_idle:
                self._audit()
            self._reported_idle = idle
            self._mailbox.send(Step(events=tuple(events), gauges=self._worker.gauges()))
            self._beat = now
