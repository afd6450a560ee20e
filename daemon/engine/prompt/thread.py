"""The thread that prepares prompts beside the engine loop, and the deadline that a hanging template meets."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ...protocol import Ask, Count, Counted, Rejected
from .render import Refused

DEADLINE_SECONDS = 30.0


class Preparer(Protocol):
    """Turns one kind of work into what its worker takes. Both raise Refused."""

    def prepare(self, work: Any) -> Any: ...
    def count(self, request: Count) -> list[int]: ...


@dataclass(frozen=True)
class Ready:
    """A prompt that may be queued."""

    id: int
    prepared: Any


class PromptThread:
    """Works one request at a time; results go to `deliver`, which must be safe to call from this thread."""

    def __init__(self, prompts: Preparer, deliver: Callable[[Any], None]) -> None:
        self._prompts = prompts
        self._deliver = deliver
        self._queue: queue.SimpleQueue[Ask] = queue.SimpleQueue()
        self._since: float | None = None
        self._cancelled: set[int] = set()
        self._inside: set[int] = set()
        threading.Thread(target=self._work, name="prompts", daemon=True).start()

    def put(self, ask: Ask) -> None:
        self._inside.add(ask.id)
        self._queue.put(ask)

    def cancel(self, number: int) -> bool:
        """Whether the request is still here; its result will then be dropped by `claim`."""
        if number not in self._inside:
            return False
        self._cancelled.add(number)
        return True

    def claim(self, number: int) -> bool:
        """The loop has received the result: False when the request was cancelled meanwhile."""
        self._inside.discard(number)
        wanted = number not in self._cancelled
        self._cancelled.discard(number)
        return wanted

    @property
    def busy(self) -> int:
        return len(self._inside)

    @property
    def stuck(self) -> bool:
        """One prompt has taken longer than any sane template or text does."""
        since = self._since
        return since is not None and time.monotonic() - since > DEADLINE_SECONDS

    def _work(self) -> None:
        while True:
            ask = self._queue.get()
            self._since = time.monotonic()
            result = self._result(ask)
            self._since = None
            self._deliver(result)

    def _result(self, ask: Ask) -> Ready | Counted | Rejected:
        if ask.id in self._cancelled:
            return Rejected(id=ask.id, code="invalid_request", message="cancelled")
        try:
            match ask.work:
                case Count() as count:
                    tokens = self._prompts.count(count)
                    return Counted(id=ask.id, count=len(tokens), tokens=tuple(tokens) if count.return_tokens else ())
                case work:
                    return Ready(ask.id, self._prompts.prepare(work))
        except Refused as refused:
            return refused.rejected(ask.id)
        except Exception as error:
            return Rejected(
                id=ask.id,
                code="internal_error",
                message=f"the prompt could not be prepared ({type(error).__name__})",
            )
