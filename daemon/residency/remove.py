"""Removes a model that may be in use: no new requests, running ones may finish, then its memory and disk are freed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ...store.errors import DamagedModel, StoreBusy
from .. import store_threads

if TYPE_CHECKING:
    from ...store.store import Installed, Removed, Store
    from .residency import Residency

LOG = logging.getLogger("mlx_serve.removal")

_UNDER_WAY: set[asyncio.Task[Removed]] = set()  # the event loop keeps weak references only


async def remove(store: Store, residency: Residency, name: str) -> Removed:
    """Take a name away; returns when the model is out of memory, unless another name of it is left.

    It completes even when the caller is cancelled. Raises what `store.find` and `store.remove` raise; a damaged model
    can be removed as well.
    """
    task = asyncio.create_task(_remove(store, residency, name))
    _UNDER_WAY.add(task)
    task.add_done_callback(_ended)
    return await asyncio.shield(task)


def _ended(task: asyncio.Task[Removed]) -> None:
    _UNDER_WAY.discard(task)
    if not task.cancelled():
        task.exception()  # retrieved here, because the caller may be gone


async def _remove(store: Store, residency: Residency, name: str) -> Removed:
    try:
        model = await store_threads.look(store.find, name)
    except DamagedModel:  # it cannot be loaded
        return await store_threads.work(store.remove, name, residency.in_use)
    removed = await store_threads.work(store.remove, str(model.name), residency.in_use)
    if await store_threads.look(_has_a_name, store, model):
        return removed
    residency.forget(model)
    if not await residency.unload(model):
        return removed
    try:
        await store_threads.work(store.gc, False, residency.in_use)
    except StoreBusy:
        LOG.info("keep files until the next gc model=%s reason=busy", model.name.display())
    return removed


def _has_a_name(store: Store, model: Installed) -> bool:
    """Then it may stay in memory."""
    return any(other.base == model.base for other in store.models())
