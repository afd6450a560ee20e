"""The pictures of one request: collected while its messages are read, decoded, fetched, and put into its prompt.

A request without pictures passes through all of it at no cost.
"""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from ...daemon.errors import FetchRefused
from ...daemon.fetching.fetch_limits import MIB
from ...daemon.protocol import ChatPrompt, Generate, Picture
from ..failure import RequestError
from . import inline_data, signature
from .picture_source import Detail, Inline, PictureSource, Remote, invalid, of_base64, of_url

if TYPE_CHECKING:
    from ...daemon.context import Context
    from ...daemon.fetching.fetcher import Fetcher
    from ...daemon.fetching.picture_budget import PictureShare

MAX_PICTURES = 100
SEEING_ROLES = ("user", "tool")
"""The roles whose messages may have pictures."""

_KINDS = {"llm": "a language model", "embedding": "an embedding model", "reranker": "a reranker"}

# Decoding is work for the processor: more threads would only take turns.
_threads = ThreadPoolExecutor(1, "picture-decode")


class RequestPictures:
    """`add_url` and `add_base64` give the part of a message's content that stands for the picture. Then, in this order:
    `decode`, `admit` once the model is known, `into`; `release` at the end, in any case."""

    def __init__(self) -> None:
        self._sources: list[PictureSource] = []
        self._pictures: list[Picture | None] = []
        self._share: PictureShare | None = None

    def __len__(self) -> int:
        return len(self._sources)

    def add_url(self, url: str, param: str, detail: Detail = None) -> dict[str, Any]:
        """Raises RequestError for what is neither a data: nor an http(s): URL."""
        return self._add(of_url(url, param, detail))

    def add_base64(self, text: str, param: str) -> dict[str, Any]:
        """Raises RequestError."""
        return self._add(of_base64(text, param))

    def _add(self, source: PictureSource) -> dict[str, Any]:
        if len(self._sources) >= MAX_PICTURES:
            raise invalid(source.param, f"a request may have {MAX_PICTURES} pictures")
        if isinstance(source, Inline):
            inline_data.check_size(source)
        self._sources.append(source)
        return {"type": "image"}

    async def decode(self, fetcher: Fetcher) -> None:
        """Decode what came with the request, off the event loop. Raises RequestError, FetchBusy."""
        self._share = fetcher.budget.share()
        inline = [source if isinstance(source, Inline) else None for source in self._sources]
        self._share.take(sum(source.size for source in inline if source is not None))
        self._pictures = await asyncio.get_running_loop().run_in_executor(_threads, _decode, inline)
        # The texts are not needed any more.
        self._sources = [replace(each, text="") if isinstance(each, Inline) else each for each in self._sources]

    def release(self) -> None:
        if self._share is not None:
            self._share.release()

    async def admit(self, context: Context, name: str, kind: str) -> None:
        """Refuse a model that cannot see, then fetch what has to be fetched. Raises RequestError, FetchBusy."""
        assert self._share is not None  # what came with the request has been decoded
        self._require_vision(name, kind)
        remote = [source for source in self._sources if isinstance(source, Remote)]
        if not remote:
            return
        try:
            most = context.settings.server.max_body_mb * MIB
            found = await context.fetcher.fetch((source.url for source in remote), most, self._share)
        except FetchRefused as refusal:
            failed = next((source for source in remote if source.url == refusal.url), remote[0])
            raise RequestError(
                f"the picture of '{failed.param}' cannot be fetched: {refusal}",
                param=failed.param,
                code="invalid_image_url",
            ) from None
        self._pictures = await asyncio.get_running_loop().run_in_executor(
            _threads, _with_fetched, self._pictures, self._sources, found
        )

    def _require_vision(self, name: str, kind: str) -> None:
        if kind != "vlm":
            raise RequestError(
                f'"{name}" does not support vision: it is {_KINDS.get(kind, "a model")} and cannot see pictures; use a '
                "vision-language model (kind vlm), such as starter-vl",
                param=self._sources[0].param,
                code="unsupported_parameter",
            )

    def into(self, work: Generate) -> Generate:
        """The work with the pictures in its chat prompt."""
        if not self._sources or not isinstance(work.prompt, ChatPrompt):
            return work
        return msgspec.structs.replace(work, prompt=self.placed(work.prompt))

    def placed(self, prompt: ChatPrompt) -> ChatPrompt:
        """The prompt with its pictures."""
        pictures = tuple(picture for picture in self._pictures if picture is not None)
        assert len(pictures) == len(self._sources)  # each has been decoded or fetched
        return msgspec.structs.replace(prompt, pictures=pictures)


def _decode(sources: list[Inline | None]) -> list[Picture | None]:
    return [None if source is None else _picture(source, inline_data.decoded(source)) for source in sources]


def _with_fetched(
    pictures: list[Picture | None], sources: list[PictureSource], found: dict[str, bytes]
) -> list[Picture | None]:
    return [
        _picture(source, found[source.url]) if isinstance(source, Remote) else picture
        for picture, source in zip(pictures, sources, strict=True)
    ]


def _picture(source: PictureSource, data: bytes) -> Picture:
    if (why := signature.problem(data)) is not None:
        raise RequestError(f"'{source.param}' cannot be read: {why}", param=source.param, code="invalid_image")
    return Picture(data=data, digest=hashlib.sha256(data).hexdigest(), detail=source.detail, param=source.param)
