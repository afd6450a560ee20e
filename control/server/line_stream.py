"""Responses of one JSON document per line."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from sanic.request import Request

from .error_responses import response_of


async def send_lines(request: Request, lines: AsyncIterator[msgspec.Struct]) -> None:
    """Stream one JSON document per line. An error before the first line is raised, a later one is the last line."""
    response = None
    try:
        async for line in lines:
            if response is None:
                response = await request.respond(content_type="application/x-ndjson")
            await response.send(msgspec.json.encode(line) + b"\n")
    except Exception as error:
        if response is None:
            raise
        await response.send(msgspec.json.encode(response_of(request, error)) + b"\n")
    finally:
        close = getattr(lines, "aclose", None)
        if close is not None:
            await close()
    if response is not None:
        await response.eof()
