"""Threads for the store's calls, which block, so that the loop does not, nor the few threads that it has for the rest.

Two kinds never wait for each other: looks, which take no lock and end at once, and work, which may wait for the store's
lock (for half a minute at most) or read and write files for as long as it takes. Listing models answers while a sweep
holds the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

LOOKS = 4
WORK = 8

_looks = ThreadPoolExecutor(LOOKS, "store-look")
_work = ThreadPoolExecutor(WORK, "store-work")


async def look(call: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
    """For what takes no lock: `find`, `models`, and the reading of small files."""
    return await asyncio.get_running_loop().run_in_executor(_looks, partial(call, *arguments, **options))


async def work(call: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
    """For everything else. Cancelled, the call goes on to its end and nobody hears of it."""
    return await asyncio.get_running_loop().run_in_executor(_work, partial(call, *arguments, **options))
