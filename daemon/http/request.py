"""A request as handlers see it: Sanic's, with a checked id and a body that is received within the limits."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import cached_property
from typing import Any

from sanic.request import Request

from .exchange import Exchange
from .request_id import accepted_id


class ApiRequest(Request):
    """A request whose body is received within the limits."""

    @cached_property
    def id(self) -> str:
        """The client's own where it is a valid one."""
        return accepted_id(self.headers.get("x-request-id", ""))

    async def receive_body(self) -> None:
        if not self.body and isinstance(self.stream, Exchange):
            self.body = await self.stream.whole_body()

    def parts(self) -> AsyncGenerator[bytes]:
        """The body part by part, of any length; never held in memory as a whole."""
        stream: Any = self.stream
        arriving: AsyncGenerator[bytes] = stream.parts()
        return arriving
