"""The parent's side of a job: one child that does one piece of work and exits. It is cancelled by killing it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from .. import protocol
from ..errors import JobDied
from .channel import Channel
from .child import Child

LOG = logging.getLogger("mlx_serve.job")

JOB = ("-m", "mlx_serve.daemon.engine.quantize.main")

Ended = protocol.Quantized | protocol.JobFailed


async def run_job(
    order: protocol.Quantize, report: Callable[[protocol.Quantizing], None], command: Sequence[str] = JOB
) -> Ended:
    """The child's last frame. Raises JobDied, and what `report` raises; the child has ended in every case."""
    result: asyncio.Future[Ended | None] = asyncio.get_running_loop().create_future()
    problem: str | None = None

    def take(frame: protocol.FromChild) -> None:
        if result.done():
            return
        match frame:
            case protocol.Quantizing():
                try:
                    report(frame)
                except Exception as error:
                    result.set_exception(error)
            case protocol.Quantized() | protocol.JobFailed():
                result.set_result(frame)

    def closed(reason: str | None) -> None:
        nonlocal problem
        problem = reason
        if not result.done():
            result.set_result(None)

    began = time.monotonic()
    child, sock = await Child.spawn(command)
    LOG.info("start job pid=%d mode=%s bits=%d", child.pid, order.mode, order.bits)
    try:
        channel = await Channel.open(sock, take, closed)
        channel.send(order)
        try:
            ended = await result
        finally:
            channel.abort()
        if ended is None:
            raise JobDied(problem or await child.wait())
        return ended
    finally:
        child.kill()
        await child.wait()
        LOG.info("end job pid=%d seconds=%.1f", child.pid, time.monotonic() - began)
