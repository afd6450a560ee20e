"""How the daemon stops, in order."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from .http.server import Server
from .notify import Notifier

if TYPE_CHECKING:
    from .context import Context

log = logging.getLogger("mlx_serve.daemon.drain")

_ERROR_SECONDS = 2.0
_RUNNERS_SECONDS = 10.0


class Stop:
    """Whether the daemon shall stop, and whether without waiting. A second request means without waiting."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.now = asyncio.Event()

    def request(self, force: bool = False) -> None:
        if force or self.asked.is_set():
            self.now.set()
        self.asked.set()


async def drain(context: Context, public: Server, control: Server, stop: Stop, notifier: Notifier) -> None:
    """Returns when every request has ended and every runner is gone; the caller removes the socket and the lock."""
    seconds = context.settings.server.drain_seconds
    log.info("drain requests seconds=%g open=%d", seconds, public.open + control.open)

    # 1. /readyz answers 503, and so do new requests on open connections.
    context.draining = True
    notifier.stopping(seconds + _ERROR_SECONDS + _RUNNERS_SECONDS)

    # 2. No new connections on TCP. The control socket stays open for `status`.
    public.stop_listening()

    # 3. Connections without a request are closed.
    public.close_idle()
    control.close_idle()

    # 4. Pulls stop at once; what they fetched stays, and the next pull resumes.
    await context.pulls.close()

    # 5. Running requests may finish, unless the stop is forced.
    if not await _finished(public, control, seconds, stop.now):
        # 6. The others get an error, and a moment to send it.
        log.warning("cancel requests open=%d", public.open + control.open)
        public.cancel()
        control.cancel()
        if not await _finished(public, control, _ERROR_SECONDS, None):
            public.abort()
            control.abort()

    # 7. Models are unloaded, and the spare child ends.
    try:
        async with asyncio.timeout(_RUNNERS_SECONDS):
            await context.residency.close(0)
    except TimeoutError:
        log.error("abandon runners seconds=%g", _RUNNERS_SECONDS)
    except Exception:
        log.exception("fail to close runners")

    # 8. The machine may sleep, and the control socket is last.
    await context.keep_awake.close()
    control.stop_listening()
    control.abort()


async def _finished(public: Server, control: Server, seconds: float, force: asyncio.Event | None) -> bool:
    both = asyncio.ensure_future(asyncio.gather(public.finished(seconds), control.finished(seconds)))
    waits: set[asyncio.Future[object]] = {both}  # type: ignore[arg-type]
    if force is not None:
        waits.add(asyncio.ensure_future(force.wait()))
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finished = both.done() and all(both.result())
    for each in waits:
        each.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    return finished
