"""Responses that are streamed at this moment, by their ids: what there is of them, and how they are cancelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from ...daemon.requests.open_request import OpenRequest
from .response_events import ResponseEvents

Keep: TypeAlias = Callable[[dict[str, Any]], None]
"""Keeps the response that it is given, or does not."""


@dataclass(frozen=True)
class UnderWay:
    request: OpenRequest
    events: ResponseEvents
    keep: Keep

    def cancel(self) -> dict[str, Any]:
        """The response as it is then; its stream ends."""
        self.request.cancel(by_client=True)
        response = self.events.so_far("cancelled")
        self.keep(response)
        return response


class ResponsesUnderWay:
    """Each belongs to the key that made it."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], UnderWay] = {}

    @contextmanager
    def held(self, owner: str, identity: str, response: UnderWay) -> Iterator[None]:
        """It is under way while the block lasts."""
        self._found[owner, identity] = response
        try:
            yield
        finally:
            del self._found[owner, identity]

    def find(self, owner: str, identity: str) -> UnderWay | None:
        return self._found.get((owner, identity))
