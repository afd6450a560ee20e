"""HEAD and POST /api/blobs/:digest: files for a model that `create` will name; they are never read back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from sanic import Request
from sanic.response import HTTPResponse

from ...daemon import store_threads
from ...store.errors import DamagedModel
from ..endpoint import serving
from ..failure import RequestError

if TYPE_CHECKING:
    from ...store.disk.blobs import Incoming
    from ...store.store import Store

_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")
_PART = 4 << 20  # bytes that are hashed and written at once, in a thread


async def blob(request: Request, digest: str) -> HTTPResponse:
    hex_digest = digest_of(unquote(digest))
    store = serving(request).store
    if await store_threads.work(store.claim, hex_digest):
        return HTTPResponse(status=200)
    if request.method == "HEAD":
        raise RequestError(f'blob "sha256:{hex_digest}" not found', status=404, code="not_found")
    await _receive(request, store, hex_digest)
    return HTTPResponse(status=201)


def digest_of(text: str) -> str:
    """The 64 hex digits of `sha256:<hex>`. Raises RequestError."""
    match = _DIGEST.fullmatch(text)
    if match is None:
        raise RequestError("invalid digest format", param="digest", code="invalid_value")
    return match[1].lower()


async def _receive(request: Request, store: Store, hex_digest: str) -> None:
    announced = request.headers.get("content-length", "0")
    size = int(announced) if announced.isascii() and announced.isdigit() else 0
    place = store.upload(hex_digest, size)
    incoming = await store_threads.work(place.__enter__)
    try:
        await _fill(incoming, cast(Any, request).parts())
        await store_threads.work(_commit, incoming, hex_digest)
    except BaseException as error:
        await asyncio.shield(store_threads.work(place.__exit__, type(error), error, error.__traceback__))
        raise
    await store_threads.work(place.__exit__, None, None, None)


async def _fill(incoming: Incoming, parts: AsyncIterator[bytes]) -> None:
    waiting: list[bytes] = []
    held = 0
    async for part in parts:
        waiting.append(part)
        held += len(part)
        if held >= _PART:
            await store_threads.work(incoming.write, b"".join(waiting))
            waiting, held = [], 0
    await store_threads.work(incoming.write, b"".join(waiting))


def _commit(incoming: Incoming, hex_digest: str) -> None:
    try:
        incoming.commit(hex_digest)
    except DamagedModel as error:
        message = str(error).replace("expected ", 'expected "').replace(", got ", '", got "') + '"'
        raise RequestError(message, param="digest", code="digest_mismatch") from None
