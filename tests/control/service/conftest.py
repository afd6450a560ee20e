"""The command over service managers that are fakes, and over a daemon that starts at once."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.service_managers import launchctl, systemctl
from support.installed_services import Services
from support.waiting import GUARD

from mlx_serve.control.cli.client import Client
from mlx_serve.control.cli.commands import service as command
from mlx_serve.control.cli.commands import service_report
from mlx_serve.control.cli.process_end import ProcessEnd
from mlx_serve.control.cli.target import running_sockets
from mlx_serve.control.service import launchd, program, tool
from mlx_serve.control.service.manager import manager_of
from mlx_serve.control.service.service_error import ServiceError

FAKES = Path(__file__).parents[2] / "fakes" / "service_managers"
MANAGERS = ["launchd", *(["systemd"] if sys.platform == "linux" else [])]


def faked(program: str, *arguments: str, seconds: float = 0) -> tool.Outcome:
    """In this process, which saves starting some hundred interpreters. Nobody lingers; other programs are not there."""
    if program == "loginctl":
        return tool.Outcome(0, "no\n", "")
    run = {"launchctl": launchctl.main, "systemctl": systemctl.main}.get(program)
    if run is None:
        raise ServiceError(f"there is no {program} on PATH")
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            code = run(*arguments)
        except SystemExit as end:
            code = int(end.code or 0)
    return tool.Outcome(code, output.getvalue(), errors.getvalue())


@pytest.fixture(params=MANAGERS)
def services(
    request: pytest.FixtureRequest,
    environment: dict[str, str],
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Services]:
    """Every process is ended afterwards, and nothing of the tester's own services is seen."""
    made = Services(request.param, tmp_path, home, capsys)
    monkeypatch.setattr(tool, "call", faked)
    for module in (launchd, service_report):
        monkeypatch.setattr(module, "_POLL_SECONDS", 0.01)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("FAKE_MANAGER", str(made.memory))
    for name in [name for name in os.environ if name.startswith("HF_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("SUDO_USER", raising=False)
    platform = "darwin" if made.kind == "launchd" else "linux"
    monkeypatch.setattr(command, "manager_of", functools.partial(manager_of, platform=platform))

    def quick(port: int | None) -> tuple[str, ...]:
        return (sys.executable, str(FAKES / "quick_daemon.py"), *(("--port", str(port)) if port is not None else ()))

    monkeypatch.setattr(program, "command", quick)
    yield made
    for file in made.memory.glob("*.json"):  # so that nobody starts it again
        file.unlink()
    for path in running_sockets(home):
        pid = Client(path, GUARD).pid()
        assert pid is not None
        with ProcessEnd(pid) as end:
            os.kill(pid, signal.SIGKILL)
            assert end.wait(GUARD)
    for process in (*launchctl.STARTED, *systemctl.STARTED):
        process.wait(GUARD)
    launchctl.STARTED.clear()
    systemctl.STARTED.clear()
