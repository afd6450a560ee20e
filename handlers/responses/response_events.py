"""The events of a streamed response, numbered and framed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from ...daemon.protocol import Accepted, Delta, Finished
from ..error_bodies import openai_message
from ..failure import Failure
from ..items import Item
from ..jsontext import encode
from .output_items import Event, OutputItems
from .response_document import ResponseDocument, error_code


class ResponseEvents:
    """Numbers go on from the first event to the last, whoever asks for it."""

    def __init__(self, document: ResponseDocument, items: OutputItems) -> None:
        self._document = document
        self._items = items
        self._number = 0
        self._end: Finished | None = None

    def progress(self) -> bytes:
        """The response is under way: the first time it has been created, too. It says nothing else, and may be sent at
        any time."""
        begun = self._document.begun()
        created: list[Event] = [{"type": "response.created", "response": begun}] if not self._number else []
        return self._frames([*created, {"type": "response.in_progress", "response": begun}])

    def opening(self) -> bytes:
        """What begins a stream, if nothing has been sent yet."""
        return b"" if self._number else self.progress()

    def frames(self, items: list[Item]) -> bytes:
        sent: list[bytes] = []
        for _, event in items:
            if isinstance(event, Delta):
                sent.append(self._frames(self._items.add(event)))
            else:
                self._end = event
                sent.append(self._frames(self._items.end(complete=event.reason != "length")))
        return b"".join(sent)

    def closing(self, accepted: Accepted) -> tuple[bytes, dict[str, Any]]:
        """The last record of a stream, and the response in it."""
        assert self._end is not None
        response = self._document.ended(self._items.items, self._end, accepted)
        return self._frames([{"type": f"response.{response['status']}", "response": response}]), response

    def so_far(self, status: Literal["in_progress", "cancelled"]) -> dict[str, Any]:
        """The response as it is now."""
        return self._document.so_far(status, list(self._items.items))

    def failing(self, failure: Failure) -> bytes:
        """The last records of a stream that fails."""
        error = {
            "type": "error",
            "code": error_code(failure),
            "message": openai_message(failure),
            "param": failure.param,
        }
        failed = {"type": "response.failed", "response": self._document.failed(self._items.items, failure)}
        return self.opening() + self._frames([error, failed])

    def _frames(self, events: Iterable[Event]) -> bytes:
        return b"".join(self._frame(event) for event in events)

    def _frame(self, event: Event) -> bytes:
        kind: str = event["type"]
        numbered = event | {"sequence_number": self._number}
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + encode(numbered) + b"\n\n"
