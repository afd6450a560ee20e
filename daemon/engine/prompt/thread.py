"""The thread that prepares prompts beside the engine loop, and the deadline that a hanging template meets."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...protocol import Count, Counted, Generate, Rejected
from .render import Prepared, Prompts, Refused

DEADLINE_SECONDS = 30.0


@dataclass(frozen=True)
class Ready:
    """A prompt that may be queued."""

    prepared: Prepared


class Desk:
    """Works one request at a time; results go to `deliver`, which must be safe to call from this thread."""

    def __init__(self, prompts: Prompts, deliver: Callable[[Any], None]) -> None:
        self._prompts = prompts
        self._deliver = deliver
        self._queue: queue.SimpleQueue[Generate | Count] = queue.SimpleQueue()
        self._since: float | None = None
        self._cancelled: set[int] = set()
        self._inside: set[int] = set()
        threading.Thread(target=self._work, name="prompts", daemon=True).start()

    def put(self, request: Generate | Count) -> None:
        self._inside.add(request.id)
        self._queue.put(request)

    def cancel(self, request_id: int) -> bool:
        """Whether the request is still here; its result will then be dropped by `claim`."""
        if request_id not in self._inside:
            return False
        self._cancelled.add(request_id)
        return True

    def claim(self, request_id: int) -> bool:
        """The loop has received the result: False when the request was cancelled meanwhile."""
        self._inside.discard(request_id)
        wanted = request_id not in self._cancelled
        self._cancelled.discard(request_id)
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
            request = self._queue.get()
            self._since = time.monotonic()
            result = self._result(request)
            self._since = None
            self._deliver(result)

    def _result(self, request: Generate | Count) -> Ready | Counted | Rejected:
        if request.id in self._cancelled:
            return Rejected(id=request.id, code="invalid_request", message="cancelled")
        try:
            if isinstance(request, Count):
                tokens = self._prompts.count(request)
                return Counted(id=request.id, count=len(tokens), tokens=tuple(tokens) if request.return_tokens else ())
            return Ready(self._prompts.prepare(request))
        except Refused as refused:
            return refused.rejected(request.id)
        except Exception as error:
            return Rejected(
                id=request.id,
                code="internal_error",
                message=f"the prompt could not be prepared ({type(error).__name__})",
            )
