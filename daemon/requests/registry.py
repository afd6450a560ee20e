"""Every request that waits for a model or is served by one."""

from __future__ import annotations

from .open_request import OpenRequest


class Requests:
    """Belongs to the event loop. Two requests may have the same id, because clients may choose it."""

    def __init__(self) -> None:
        self._open: dict[OpenRequest, None] = {}

    def add(self, request: OpenRequest) -> None:
        self._open[request] = None

    def discard(self, request: OpenRequest) -> None:
        self._open.pop(request, None)

    def all(self) -> list[OpenRequest]:
        """The oldest first."""
        return sorted(self._open, key=lambda request: request.began)

    def cancel(self, number: str) -> int:
        """Cancel those with this id; how many there were."""
        found = [request for request in self._open if request.id == number]
        for request in found:
            request.cancel()
        return len(found)
