"""POST /api/pull: a pull as Ollama reports it, by layers and their digests; POST /api/push, which there is none of."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from sanic import Request
from sanic.response import HTTPResponse

from ...daemon.tasks.pulls import PullOrder
from ...store.errors import InvalidName
from ...store.names import Name, is_full
from ...store.progress import Progress
from .. import stream
from ..endpoint import decoded, serving
from ..error_bodies import note
from ..failure import RequestError, describe
from ..jsontext import encode
from ..stream import NDJSON, Stream
from . import bodies
from .answer_lines import record
from .generation import find, invalid

HEAD_SECONDS = 3.0
_OPENING = b'{"status":"pulling manifest"}\n'
_EARLY = ("listing files", "checking files")
_LEAST_SIZE = 1 << 20
_HUB = re.compile(r"(?:https?://)?(?:hf\.co|huggingface\.co)/", re.IGNORECASE)
_REVISION = re.compile(r"[\w][\w./-]{0,199}", re.ASCII)


async def pull(request: Request) -> HTTPResponse | None:
    body = await decoded(request, bodies.transfer_decoder) or bodies.Transfer()
    if not body.text:
        raise RequestError("model is required", param="model", code="missing_field")
    source = body.text if request.app.ctx.control else repository(body.text)
    pulls = serving(request).pulls
    if body.stream is False:
        await pulls.run(PullOrder(source))
        return HTTPResponse(encode({"status": "success"}), content_type="application/json")
    async with aclosing(lines(pulls.follow(PullOrder(source)))) as steps:
        await send(request, steps, _OPENING, _OPENING)
    return None


async def push(request: Request) -> HTTPResponse:
    """Raises RequestError always: there is no registry that takes models in this store's form."""
    body = await decoded(request, bodies.transfer_decoder) or bodies.Transfer()
    if not body.text:
        raise RequestError("model is required", param="model", code="missing_field")
    await find(request, body.text)
    raise RequestError(
        f"mlx-serve does not push models: upload the files of {body.text} to the Hugging Face Hub with `hf upload`, "
        "and others can pull them from there",
        param="model",
        code="unsupported_endpoint",
    )


def repository(text: str) -> str:
    """What a caller over TCP may pull: a name, never a folder of this machine. Raises RequestError."""
    name, at, revision = _HUB.sub("", text, count=1).partition("@")
    try:
        Name.parse(name)
    except InvalidName:
        raise invalid() from None
    if at and not _REVISION.fullmatch(revision):
        raise invalid()
    if is_full(name):
        name = name.removesuffix(":latest")  # Ollama's clients add it; the hub has no tags
    return name + at + revision


async def send(request: Request, steps: AsyncGenerator[bytes], silence: bytes, opening: bytes = b"") -> None:
    """Send the lines, and success at their end. The head waits up to HEAD_SECONDS for the first line, so that work that
    fails at once has a status. While nothing new is told, the last line is sent again every PING_SECONDS, `silence`
    before there is one: clients take a connection without a byte for lost."""
    step = asyncio.ensure_future(anext(steps, None))
    out: Stream | None = None
    try:
        try:
            await asyncio.wait([step], timeout=HEAD_SECONDS)
            if step.done():
                step.result()
            out = await Stream.open(request, NDJSON)
            await out.send(opening)
            while True:
                while not (await asyncio.wait([step], timeout=stream.PING_SECONDS))[0]:
                    await out.send(silence)
                line = step.result()
                if line is None:
                    break
                await out.send(line)
                silence = line
                step = asyncio.ensure_future(anext(steps, None))
        finally:
            step.cancel()
            await asyncio.wait([step])
        await out.end(b'{"status":"success"}\n')
    except Exception as error:
        if out is None:
            raise
        note(error, out.number)
        await out.fail(record(describe(error)))


async def lines(events: AsyncGenerator[Progress | object]) -> AsyncGenerator[bytes]:
    """Between the first line and the last. Closing it closes `events`."""
    last: dict[str, Any] = {}
    verified = False
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Progress):
                if event.status in _EARLY or (event.path and not event.digest and event.total < _LEAST_SIZE):
                    continue
                document = _document(event)
                written = event.status == "writing manifest"
            else:
                document, written = {"status": "writing manifest"}, True
            if written and not verified:
                verified = True
                yield encode({"status": "verifying sha256 digest"}) + b"\n"
            if document != last:
                last = document
                yield encode(document) + b"\n"


def _document(event: Progress) -> dict[str, Any]:
    """Ollama's clients draw a bar per digest; a file whose digest is not known yet is named instead."""
    if event.path is None or not event.total:
        return {"status": event.status}
    amounts = {"total": event.total, "completed": event.completed}
    if event.digest is None:
        return {"status": f"pulling {event.path.rpartition('/')[2]}"} | amounts
    return {"status": f"pulling {event.digest.removeprefix('sha256:')[:12]}", "digest": event.digest} | amounts
