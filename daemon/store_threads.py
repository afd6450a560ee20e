"""Thread pools for the store's blocking calls, apart from the event loop's default pool.

There are two, so that listing models works while a sweep holds the store: `look` is for calls that take no lock and end
at once, `work` for calls that wait for the store's lock (30 seconds at most) or read and write files.
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
    """For calls that take no lock: `find` and `models`."""
    return await asyncio.get_running_loop().run_in_executor(_looks, partial(call, *arguments, **options))


async def work(call: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
    """For all other calls. After a cancellation the call runs to its end and its result is dropped."""
    return await asyncio.get_running_loop().run_in_executor(_work, partial(call, *arguments, **options))
