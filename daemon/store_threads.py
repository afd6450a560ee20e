"""Thread pools for the store's blocking calls, apart from the event loop's default pool.

There are two, so that listing models works while a sweep holds the store: `look` is for calls that take no lock and end
at once, `work` for calls that wait for the store's lock (30 seconds at most) or read and write files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

LOOKS = 4
WORK = 8

_looks = ThreadPoolExecutor(LOOKS, "store-look")
_work = ThreadPoolExecutor(WORK, "store-work")


async def look(call: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
    """For calls that take no lock: `find` and `models`."""
    return await asyncio.get_running_loop().run_in_executor(_looks, partial(call, *arguments, **options))


async def work(call: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
    """For all other calls. After a cancellation the call runs to its end and its result is dropped."""
    return await asyncio.get_running_loop().run_in_executor(_work, partial(call, *arguments, **options))


class SharedLooks(Generic[R]):
    """One `look` for all who ask the same at about the same time: it begins after they have asked, so that nobody is
    told what was true before.

    A burst of requests for one model asks the store twice, and not once each, which took 32 of them 24 ms: the event
    loop and the threads take turns with the interpreter.
    """

    def __init__(self, call: Callable[[str], R]) -> None:
        self._call = call
        self._looks: dict[str, asyncio.Task[R | None]] = {}
        self._next: dict[str, asyncio.Task[R | None]] = {}

    async def get(self, key: str) -> R:
        """What the call gives for this key. Raises what it raises, each time of its own."""
        shared = self._next.get(key)
        if shared is None:
            shared = asyncio.create_task(self._look(key, self._looks.get(key)))
            self._next[key] = shared
        found = await asyncio.shield(shared)
        return await look(self._call, key) if found is None else found

    async def _look(self, key: str, before: asyncio.Task[R | None] | None) -> R | None:
        """None where the call fails."""
        if before is not None:
            await asyncio.wait([before])
        task = self._looks[key] = self._next.pop(key)
        try:
            return await look(self._call, key)
        except Exception:
            return None  # everybody finds out why by a call of their own
        finally:
            if self._looks.get(key) is task:
                del self._looks[key]
