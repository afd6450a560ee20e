"""What both endpoints share: the model that is named, its tokenizer's answer, and long lists that hold nobody up."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from sanic import Request

from ...daemon.protocol import Count, Detokenize, Event
from ..endpoint import opened, serving
from ..failure import Incomplete, RequestError
from ..jsontext import encode

if TYPE_CHECKING:
    from ...store.installed import Installed

E = TypeVar("E", bound=Event)
AT_ONCE = 1 << 16  # ids that are written before others have their turn


@asynccontextmanager
async def named(request: Request, name: str) -> AsyncIterator[Installed]:
    """The model of this name, for a block that takes no longer than a request may. Raises RequestError, TimeoutError,
    and what `residency.find` raises."""
    if not name:
        raise RequestError("name a model in 'model'", param="model", code="invalid_value")
    context = serving(request)
    limit = context.settings.server.request_timeout_seconds
    left = None if limit <= 0 else max(0.0, request.ctx.started + limit - time.monotonic())
    async with asyncio.timeout(left):
        installed = await context.residency.find(name)
        opened(request).found(str(installed.name.display()))
        yield installed


async def asked(request: Request, installed: Installed, work: Count | Detokenize, kind: type[E]) -> E:
    """Raises what `Tokenizers.ask` raises."""
    event = await serving(request).residency.tokenizers.ask(installed, work)
    if not isinstance(event, kind):
        raise Incomplete("the tokenizer's process ended a request without its answer")
    return event


async def id_lists(packed: tuple[bytes, ...]) -> list[bytes]:
    """Each list of packed int32 ids as JSON."""
    lists = []
    written = 0
    for data in packed:
        ids = array("i")
        ids.frombytes(data)
        parts = []
        for start in range(0, len(ids), AT_ONCE):
            piece = ids[start : start + AT_ONCE].tolist()
            parts.append(encode(piece)[1:-1])
            written += len(piece)
            if written >= AT_ONCE:
                written = 0
                await asyncio.sleep(0)
        lists.append(b"[" + b",".join(parts) + b"]")
    return lists
