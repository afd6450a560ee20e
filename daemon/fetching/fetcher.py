"""Fetches what requests name by URL: a few at a time, within one budget for all requests."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ..errors import FetchBusy, FetchRefused
from .fetch_limits import FetchLimits
from .picture_budget import FetchedSize, PictureBudget, PictureShare

if TYPE_CHECKING:
    from .checked_network import Connect, Resolve

_loader = ThreadPoolExecutor(1, "fetch-load")


class Fetcher:
    """`private`, which may change: URLs may lead to private, loopback and link-local addresses. `resolve` and `connect`
    as in `checked_network`; None: the system's. Everything here runs on the event loop."""

    def __init__(
        self,
        *,
        private: bool,
        version: str,
        limits: FetchLimits | None = None,
        resolve: Resolve | None = None,
        connect: Connect | None = None,
    ) -> None:
        self.private = private
        self._user_agent = f"mlx-serve/{version}"
        self._limits = limits or FetchLimits()
        self._network: dict[str, Any] = {
            name: call for name, call in (("resolve", resolve), ("connect", connect)) if call is not None
        }
        self._slots = asyncio.Semaphore(self._limits.at_once_total)
        self._certificates: ssl.SSLContext | None = None
        self.budget = PictureBudget(self._limits.bytes_total)

    async def fetch(self, urls: Iterable[str], most: int, share: PictureShare) -> dict[str, bytes]:
        """What each URL names, `most` bytes in all, which count in `share` from their arrival on; a URL that is there
        twice is fetched once. The first failure ends the others. Raises FetchRefused, whose `url` says which, or
        FetchBusy."""
        wanted = list(dict.fromkeys(urls))
        if not wanted:
            return {}
        limits = self._limits
        certificates = await self._loaded()  # no server's time
        size = FetchedSize(share, most)
        turns = asyncio.Semaphore(limits.at_once_request)
        try:
            async with asyncio.timeout(limits.seconds_request), asyncio.TaskGroup() as group:
                tasks = {url: group.create_task(self._one(url, turns, size, certificates)) for url in wanted}
        except TimeoutError:
            raise FetchRefused(f"the pictures did not arrive within {limits.seconds_request:g} seconds") from None
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return {url: task.result() for url, task in tasks.items()}

    async def _loaded(self) -> ssl.SSLContext:
        if self._certificates is None:
            self._certificates = await asyncio.get_running_loop().run_in_executor(_loader, _load)
        return self._certificates

    async def _one(self, url: str, turns: asyncio.Semaphore, size: FetchedSize, certificates: ssl.SSLContext) -> bytes:
        limits = self._limits
        async with turns:
            try:
                async with asyncio.timeout(limits.wait_seconds):
                    await self._slots.acquire()
            except TimeoutError:
                raise FetchBusy from None
            try:
                async with asyncio.timeout(limits.seconds_each):
                    return await self._get(url, size, certificates)
            except TimeoutError:
                raise FetchRefused(f"it did not arrive within {limits.seconds_each:g} seconds", url) from None
            except FetchRefused as refusal:
                raise FetchRefused(str(refusal), url) from refusal
            finally:
                self._slots.release()

    async def _get(self, url: str, size: FetchedSize, certificates: ssl.SSLContext) -> bytes:
        from .checked_network import CheckedNetwork
        from .guarded_get import get

        network = CheckedNetwork(private=self.private, connect_seconds=self._limits.connect_seconds, **self._network)
        return await get(url, network, certificates, self._limits, self._user_agent, size.take)


def _load() -> ssl.SSLContext:
    """What the first fetch needs: modules and certificates, a tenth of a second or two of reading."""
    from ...store.hub.certificates import trusted
    from . import guarded_get  # noqa: F401

    return trusted()
