"""POST /api/pull: the store's pull in a thread, its progress as lines."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

from sanic import Request
from sanic.response import HTTPResponse

from ..store.errors import InvalidName
from ..store.names import Name
from . import wire_ollama
from .endpoint import decoded, document, serving
from .errors import note
from .failure import RequestError, describe
from .jsontext import encode
from .ollama_answers import record
from .ollama_run import invalid
from .stream import NDJSON, Stream

if TYPE_CHECKING:
    from ..store.progress import Progress
    from ..store.store import Store

EVERY_SECONDS = 0.06


class Abandoned(Exception):
    """The client is gone: the pull ends where it stands."""


async def pull(request: Request) -> HTTPResponse | None:
    body = await decoded(request, wire_ollama.named_decoder) or wire_ollama.Named()
    if not body.text:
        raise RequestError("model is required", param="model", code="missing_field")
    if not request.app.ctx.control:  # over TCP a source is a name, never a folder of this machine
        try:
            Name.parse(body.text)
        except InvalidName:
            raise invalid() from None
    work = _Pull(serving(request).store, body.text)
    if body.stream is False:
        async with work:
            await work.finished()
        return document({"status": "success"})
    out = await Stream.open(request, NDJSON)
    await out.send(b'{"status":"pulling manifest"}\n')
    try:
        async with work:
            while (line := await work.line()) is not None:
                await out.send(line)
            await work.finished()
        await out.end(b'{"status":"success"}\n')
    except Exception as error:
        note(error)
        await out.fail(record(describe(error)))
    return None


class _Pull:
    """One pull. Leaving the block early makes the thread stop at its next report."""

    def __init__(self, store: Store, source: str) -> None:
        self._store = store
        self._source = source
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._abandoned = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._last: tuple[str, str | None, float] = ("", None, 0.0)

    async def __aenter__(self) -> _Pull:
        self._task = asyncio.create_task(asyncio.to_thread(self._work))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._abandoned.set()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()

    async def line(self) -> bytes | None:
        """The next line of progress; None at the end, good or bad."""
        return await self._lines.get()

    async def finished(self) -> None:
        """Raises what the pull raised."""
        await asyncio.shield(self._task)

    def _work(self) -> None:
        try:
            self._store.pull(self._source, progress=self._report)
        finally:
            self._loop.call_soon_threadsafe(self._lines.put_nowait, None)

    def _report(self, progress: Progress) -> None:
        if self._abandoned.is_set():
            raise Abandoned
        if progress.status == "success":
            return  # said once, at the very end
        now = time.monotonic()
        status, path, when = self._last
        whole = progress.completed >= progress.total
        if (progress.status, progress.path) == (status, path) and not whole and now - when < EVERY_SECONDS:
            return
        self._last = (progress.status, progress.path, now)
        document: dict[str, Any] = {"status": progress.status}
        if progress.digest is not None:
            document["digest"] = progress.digest
        if progress.total:
            document |= {"total": progress.total, "completed": progress.completed}
        self._loop.call_soon_threadsafe(self._lines.put_nowait, encode(document) + b"\n")
