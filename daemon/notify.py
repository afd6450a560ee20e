"""Tells systemd the daemon's state: datagrams to the socket that NOTIFY_SOCKET names (man sd_notify)."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping

_PATIENCE_SECONDS = 2.0


class Notifier:
    """Sends nothing without NOTIFY_SOCKET, and never fails: a notice that nobody takes is lost, and those after it are
    sent all the same. `watchdog_seconds`: how often `alive` is wanted, twice in
    the time that systemd waits; None where nobody waits for it."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        self._serving = False
        usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        for_us = not pid or pid == str(os.getpid())
        self.watchdog_seconds = int(usec) / 2e6 if self._address and usec.isdigit() and for_us else None

    def ready(self) -> None:
        """The sockets listen."""
        self._serving = True
        self._send("READY=1")

    def alive(self) -> None:
        """It is sent again soon, so it waits for nobody."""
        self._send("WATCHDOG=1", patience=0.0)

    def stopping(self, seconds: float) -> None:
        """It ends, within so many seconds."""
        self._serving = False
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """RELOADING=1 and its time before, READY=1 after, also where the reload fails, for then everything is as it
        was. Nothing before it was ready, and no READY=1 once it is stopping."""
        if self._serving:
            self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            if self._serving:
                self._send("READY=1")

    def _send(self, *states: str, patience: float = _PATIENCE_SECONDS) -> None:
        """`patience`: how long a receiver may take that has too much to read."""
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(patience)
            sock.sendto("\n".join(states).encode(), self._address)
