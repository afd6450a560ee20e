"""The daemon over fakes (`daemon_with_fakes.py`) as a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.waiting import GUARD

LAUNCHER = Path(__file__).parent / "daemon_with_fakes.py"


class FakedDaemon:
    """A daemon of its own home on a free port. It tells when it is ready as it tells systemd."""

    def __init__(self, home: Path, *flags: str, loop: str = "", port: int = 0, **environ: str) -> None:
        self.home = home
        home.mkdir(exist_ok=True)
        self.notes = home / "notes"
        self.open: list[socket.socket] = []
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify = home / f"notify-{id(self)}"
        self.notices.bind(str(notify))
        self.notices.settimeout(GUARD)
        env = {key: value for key, value in os.environ.items() if not key.startswith("MLX_SERVE_")}
        env |= {
            "MLX_SERVE_HOME": str(home),
            "MLX_SERVE_LOOP": loop,
            "NOTES": str(self.notes),
            "NOTIFY_SOCKET": str(notify),
        }
        env["MLX_SERVE_SERVER_DRAIN_SECONDS"] = "3600"  # who waited for the drain to end would never come to an end
        self.process = subprocess.Popen(
            [sys.executable, str(LAUNCHER), "--host", "127.0.0.1", "--port", str(port), *flags],
            env=env | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def ready(self) -> FakedDaemon:
        assert self.notices.recv(1000) == b"READY=1"
        return self

    @property
    def socket_path(self) -> Path:
        (path,) = (self.home / "run").glob("*.sock")
        return path

    @property
    def port(self) -> int:
        return int(self.socket_path.stem)

    def connect(self) -> socket.socket:
        return self.keep(socket.create_connection(("127.0.0.1", self.port), timeout=GUARD))

    def get(self, path: str) -> tuple[int, bytes]:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=GUARD)
        client.request("GET", path)
        answer = client.getresponse()
        said = answer.status, answer.read()
        client.close()
        return said

    def log(self) -> list[dict[str, Any]]:
        (path,) = (self.home / "logs").glob("*.log")
        return [json.loads(line) for line in path.read_text().splitlines()]

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def keep(self, sock: socket.socket) -> socket.socket:
        """Closed with the daemon."""
        self.open.append(sock)
        return sock

    def ended(self) -> int:
        """The exit status."""
        return self.process.wait(GUARD)

    def said(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()
        for sock in (self.notices, *self.open):
            sock.close()
