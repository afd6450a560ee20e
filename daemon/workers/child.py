"""One child process: spawned with a socketpair and a private temporary folder; its stderr goes to the log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from ...store.disk.scratch import CHILD, Scratch
from .child_environment import child_environment
from .memory_gauge import MemoryGauge

LOG = logging.getLogger("mlx_serve.runner")
LONGEST_LINE = 500
ENGINE = ("-m", "mlx_serve.daemon.engine.main")


class Child:
    """`Child.spawn()` gives the process and the parent's end of the socket; `wait` says how it ended. `memory`: what it
    holds with the processes that it started, and shares with no others."""

    def __init__(self, process: asyncio.subprocess.Process, scratch: Scratch) -> None:
        self._process = process
        self._scratch = scratch
        self._reading = asyncio.create_task(self._read_stderr())
        self._ending: asyncio.Task[str] | None = None
        self.memory = MemoryGauge(process.pid)

    @classmethod
    async def spawn(cls, command: Sequence[str] = ENGINE, cache: Path | None = None) -> tuple[Child, socket.socket]:
        """`cache`: a private folder where the kernels are kept that MLX compiles for a GPU, for the next child."""
        ours, theirs = socket.socketpair()
        scratch = Scratch.make(CHILD)
        try:
            with theirs:
                for end in (ours, theirs):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *command,
                    "--fd",
                    str(theirs.fileno()),
                    # The descriptor holds the folder's lock: a child may outlive its daemon for a moment.
                    pass_fds=[theirs.fileno(), scratch.descriptor],
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.PIPE,
                    env=child_environment(os.environ, scratch.path, cache),
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            scratch.remove()
            raise
        ours.setblocking(False)
        return cls(process, scratch), ours

    @property
    def pid(self) -> int:
        return self._process.pid

    async def _read_stderr(self) -> None:
        """Line by line; a long line, such as a progress bar or a printed tensor, is cut."""
        assert self._process.stderr is not None
        rest = b""
        while data := await self._process.stderr.read(1 << 16):
            *lines, rest = re.split(rb"[\r\n]+", rest + data)
            for line in lines:
                self._log_line(line)
            rest = rest[:LONGEST_LINE]
        self._log_line(rest)

    def _log_line(self, line: bytes) -> None:
        text = line[:LONGEST_LINE].decode("utf-8", "replace").rstrip()
        if text:
            LOG.info("log child pid=%d line=%s", self.pid, text)

    async def wait(self) -> str:
        """How the process ended, as part of a sentence. Can be called again."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._wait())
        return await asyncio.shield(self._ending)

    async def _wait(self) -> str:
        status = await self._process.wait()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._reading), 1.0)
        await asyncio.to_thread(self._scratch.remove)
        if status < 0:
            return (
                f"killed by {signal.Signals(-status).name}"
                if -status in signal.valid_signals()
                else f"signal {-status}"
            )
        return f"exit status {status}; see `mlx-serve logs`"

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
