"""`mlx-serve service` on a machine whose service manager is a fake."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.waiting import GUARD

from mlx_serve.control.cli import main as cli
from mlx_serve.control.cli.client import Client
from mlx_serve.control.socket import alive, socket_path


class Services:
    """`kind` is the service manager that the machine seems to have, `folder` where it reads the user's files."""

    def __init__(self, kind: str, root: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.kind = kind
        self.home = home
        self.memory = root / "memory"
        self.memory.mkdir()
        self.folder = root / ("Library/LaunchAgents" if kind == "launchd" else "config/systemd/user")
        self._capsys = capsys

    @property
    def file(self) -> Path:
        return self.folder / ("org.mlx-serve.mlx-serve.plist" if self.kind == "launchd" else "mlx-serve.service")

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """`mlx-serve service ARGUMENTS`: exit status, output, errors."""
        self._capsys.readouterr()
        code = cli.main(["service", *arguments])
        shown = self._capsys.readouterr()
        return code, shown.out, shown.err

    def pid(self, port: int = 8000) -> int | None:
        path = socket_path(self.home, port)
        return Client(path, GUARD).pid() if alive(path) else None
