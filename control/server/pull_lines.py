"""The control API's pulls and quantizations: from request bodies to orders, from events to lines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from ...daemon import store_threads
from ...daemon.context import Context
from ...daemon.tasks.pulls import Order, PullOrder
from ...daemon.tasks.quantizing import QuantizeOrder, check
from ...store.progress import Progress
from .request_bodies import PullBody, QuantizeBody
from .response_bodies import PullLine

_FIELDS = ("status", "digest", "path", "completed", "total", "overall_completed", "overall_total", "fetched")


def pull_order(body: PullBody) -> PullOrder:
    """Raises RequestRejected for an impossible precision, before anything is fetched."""
    wanted = body.quantize is not None or body.mode is not None
    return PullOrder(
        source=body.source,
        kind=body.type,
        name=body.name,
        revision=body.revision,
        quantize=check(body.quantize, body.group_size, body.mode or "affine") if wanted else None,
        keep_source=body.keep_source,
        token=body.token,
    )


def quantize_order(body: QuantizeBody) -> QuantizeOrder:
    """Raises RequestRejected for an impossible precision."""
    settings = check(body.bits, body.group_size, body.mode or "affine")
    return QuantizeOrder(body.name, settings.bits, settings.group_size, settings.mode, body.target)


async def pull_lines(context: Context, order: Order) -> AsyncIterator[PullLine]:
    """The progress, and last the model. Raises what `Pulls.follow` raises."""
    async with aclosing(context.pulls.follow(order)) as events:
        async for event in events:
            if isinstance(event, Progress):
                yield PullLine(**{field: getattr(event, field) for field in _FIELDS})
            else:
                spellings = await store_threads.look(context.store.spellings)
                shown = spellings.get(event.name) or event.name.display()
                yield PullLine(status="success", name=shown, id=event.digest, size=event.size)
