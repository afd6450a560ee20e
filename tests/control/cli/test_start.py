"""start, stop, and the daemon that starts by itself: real processes, the real daemon over fakes."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.control_daemon import Run
from support.ports import free_port
from support.waiting import GUARD

from mlx_serve.control.cli import launch
from mlx_serve.control.cli import main as cli
from mlx_serve.control.cli.client import Client
from mlx_serve.control.cli.process_end import ProcessEnd
from mlx_serve.control.cli.target import running_sockets
from mlx_serve.control.socket import alive, bind, socket_path

_PROGRAM = str(Path(__file__).parents[2] / "support" / "daemon_with_fakes.py")


@pytest.fixture(autouse=True)
def fake_program(environment: dict[str, str], home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test has left running is ended by its pid."""
    monkeypatch.delenv("MLX_SERVE_NO_AUTOSTART")
    monkeypatch.setattr(launch, "command", lambda flags: [sys.executable, _PROGRAM, *flags])
    yield
    for path in running_sockets(home):
        pid = Client(path, GUARD).pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        ProcessEnd(pid).wait(GUARD)


def test_start_returns_when_the_daemon_answers_and_stop_when_it_is_gone(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    assert cli.main(["start", "--port", str(port)]) == 0
    assert capsys.readouterr().out.startswith(f"mlx-serve is ready at http://127.0.0.1:{port} (pid ")
    pid = Client(socket_path(home, port), GUARD).get("/control/v1/status")["pid"]
    assert os.getsid(pid) == pid, "it has a session of its own, so closing the terminal leaves it alone"
    assert (home / "logs" / f"{port}.log").stat().st_mode & 0o077 == 0

    assert cli.main(["start", "--port", str(port)]) == 75
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == (
        "",
        f"mlx-serve: a daemon is already running at http://127.0.0.1:{port}, pid {pid}\n",
    )
    assert cli.main(["start", "--port", str(port), "--json"]) == 75
    assert json.loads(capsys.readouterr().out)["pid"] == pid

    assert cli.main(["stop", "--port", str(port)]) == 0
    assert capsys.readouterr().out == f"stopped mlx-serve (pid {pid})\n"
    assert ProcessEnd(pid).wait(0)
    assert cli.main(["stop", "--port", str(port)]) == 3


def test_of_two_starts_at_once_one_is_told_that_the_other_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second looked before the first listened, so its own daemon found out; for `list` that is fine."""
    from mlx_serve.control.cli import session
    from mlx_serve.control.cli.commands import daemon as commands

    port = free_port()
    assert cli.main(["start", "--port", str(port)]) == 0
    pid = Client(socket_path(home, port), 5).pid()
    capsys.readouterr()
    monkeypatch.setattr(commands, "alive", lambda path: False)
    monkeypatch.setattr(session, "alive", lambda path: False)
    assert cli.main(["start", "--port", str(port)]) == 75
    assert capsys.readouterr().err.endswith(f"already running at http://127.0.0.1:{port}, pid {pid}\n")
    assert cli.main(["list", "--port", str(port)]) == 0


def test_start_that_fails_shows_the_daemons_own_reason(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    port = free_port()
    assert cli.main(["start", "--port", str(port), "--host", "192.0.2.1"]) == 1
    reason = "host '192.0.2.1' is not an address of this machine; --host 0.0.0.0 listens on all of them"
    assert capsys.readouterr().err == f"mlx-serve: {reason}; see its log: {home}/logs/{port}.log\n"


def test_commands_start_a_daemon_and_say_so(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    port = free_port()
    assert cli.main(["list", "--port", str(port)]) == 0
    shown = capsys.readouterr()
    assert shown.err == f"no daemon is running on port {port}; starting one\n"
    assert shown.out.startswith("NAME")
    assert alive(socket_path(home, port))


@pytest.mark.parametrize("command", ["status", "stop", "ps", "logs"])
def test_these_never_start_one(command: str, home: Path) -> None:
    port = free_port()
    assert cli.main([command, "--port", str(port)]) == 3
    assert not alive(socket_path(home, port))


def test_daemon_that_was_killed_leaves_nothing_in_the_way(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    assert cli.main(["start", "--port", str(port)]) == 0
    pid = Client(socket_path(home, port), GUARD).pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert ProcessEnd(pid).wait(GUARD)
    assert cli.main(["status", "--port", str(port)]) == 3
    assert cli.main(["start", "--port", str(port)]) == 0


def test_stop_all_stops_every_daemon_of_the_home(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for port in (str(free_port()), str(free_port())):
        assert cli.main(["start", "--port", port]) == 0
    capsys.readouterr()
    assert cli.main(["stop", "--all"]) == 0
    assert capsys.readouterr().out.count("stopped") == 2
    assert running_sockets(home) == []


def test_force_ends_a_daemon_that_answers_no_more(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pid comes from the system, for it tells nothing itself."""
    port = free_port()
    from mlx_serve.control.cli.commands import daemon as commands

    monkeypatch.setattr(commands, "_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(commands, "_KILL_SECONDS", 0.2)
    assert cli.main(["start", "--port", str(port)]) == 0
    pid = Client(socket_path(home, port), GUARD).pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    assert cli.main(["stop", "--port", str(port)]) == 1
    assert cli.main(["stop", "--port", str(port), "--force"]) == 0
    assert ProcessEnd(pid).wait(0)


def test_start_means_the_configured_port_whatever_else_runs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other, port = free_port(), free_port()
    (home / "config.yaml").write_text(f"server:\n  port: {port}\n")
    with bind(socket_path(home, other)):
        assert cli.main(["start", "--host", "192.0.2.1"]) == 1
    assert f"{port}.log" in capsys.readouterr().err


def test_in_the_foreground_the_exit_status_is_the_daemons(run: Run, home: Path) -> None:
    """78 for wrong settings, as a service manager has to know: with 1 it would try again."""
    (home / "config.yaml").write_text("server: {prot: 1}\n")
    done = run("start", "--foreground")
    assert (done.returncode, done.stdout) == (78, "")
    where = f"{home}/config.yaml:1"
    assert done.stderr == f"mlx-serve: {where}: server.prot is not a setting; did you mean server.port?\n"


def test_foreground_becomes_the_daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Paths are made absolute, and the flags arrive under the same names."""
    seen: list[list[str]] = []

    class Replaced(BaseException):
        pass

    def execv(program: str, arguments: list[str]) -> None:
        seen.append(arguments)
        raise Replaced

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text("{}")
    line = "start --foreground --config c.yaml --models-dir m --preload a --preload b --log-level debug --host ::1"
    with pytest.raises(Replaced):
        cli.main(line.split())
    assert (
        seen[0][2:]
        == (
            f"--host ::1 --log-level DEBUG --config {tmp_path}/c.yaml --models-dir {tmp_path}/m --preload a --preload b"
        ).split()
    )
