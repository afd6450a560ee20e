"""Keeps a Mac from idle sleep while answers, loads and pulls are worked on, and for a moment after the last one.

`caffeinate -i` holds the power assertion, with `-w` no longer than the daemon lives (caffeinate(8)). A closed lid, the
Apple menu and an empty battery still put the machine to sleep. On Linux nothing is done: there a server does not sleep
by itself, and a desktop's session decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys

LOG = logging.getLogger("mlx_serve.power")

LINGER_SECONDS = 30.0


def assertion(platform: str = sys.platform) -> tuple[str, ...]:
    """The command that holds the assertion for this process; empty where there is none."""
    return ("/usr/bin/caffeinate", "-i", "-w", str(os.getpid())) if platform == "darwin" else ()


class KeepAwake:
    """Counts what is worked on. `command` runs from the first one until LINGER_SECONDS after the last, once for all of
    them; without a command nothing is done."""

    def __init__(self, command: tuple[str, ...] = ()) -> None:
        self._command = command
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._holding: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Followed by one `end`."""
        self._count += 1
        if not self._command:
            return
        self._cancel_timer()
        if self._holding is None or self._holding.done():  # done: somebody has ended the process
            self._holding = asyncio.get_running_loop().create_task(self._hold())

    def end(self) -> None:
        self._count -= 1
        if self._count == 0 and self._holding is not None:
            self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._release)

    async def close(self) -> None:
        """Let the machine sleep again, whatever is still worked on; nothing is begun afterwards."""
        self._command = ()
        self._release()
        if self._ending:
            await asyncio.wait(set(self._ending))

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _release(self) -> None:
        self._cancel_timer()
        if self._holding is not None:
            self._holding.cancel()
            self._ending.add(self._holding)
            self._holding.add_done_callback(self._ending.discard)
            self._holding = None

    async def _hold(self) -> None:
        quiet, command = asyncio.subprocess.DEVNULL, self._command
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
            )
        except OSError as error:
            LOG.warning("fail power assertion command=%s reason=%s", command[0], error.strerror or error)
            self._command = ()
            return
        LOG.debug("hold power assertion pid=%d", process.pid)
        try:
            status = await process.wait()
            LOG.warning("lose power assertion command=%s status=%d", command[0], status)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            LOG.debug("release power assertion pid=%d", process.pid)
