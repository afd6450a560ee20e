"""`start` prints no address at which another program answers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fakes.control_daemon import FakeDaemon, Run
from support.live_daemon import has_ipv6
from support.ports import free_port
from support.waiting import GUARD

from mlx_serve.control.cli import launch, reachability
from mlx_serve.control.cli import main as cli

OURS = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Mlx-Serve-Instance: abc\r\n\r\n"
ANOTHER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Mlx-Serve-Instance: other\r\n\r\n"
NOT_HTTP = b"220 mail.example ready\r\n"


@contextmanager
def answering(answer: bytes, host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A program that answers every connection in this way, and then closes it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as server:

        def serve() -> None:
            asked = b""
            while asked != b"bye":
                near, _ = server.accept()
                with near:
                    near.settimeout(GUARD)
                    asked = near.recv(4096)
                    near.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        with socket.create_connection((host, server.getsockname()[1]), GUARD) as last:
            last.sendall(b"bye")
        thread.join(GUARD)


@pytest.mark.parametrize(("answer", "ours"), [(OURS, True), (ANOTHER, False), (NOT_HTTP, False), (b"", False)])
def test_only_the_daemon_of_this_run_is_ours(answer: bytes, ours: bool) -> None:
    with answering(answer) as port:
        assert reachability.answers(f"http://127.0.0.1:{port}", "abc") is ours


def test_nobody_is_not_somebody_else() -> None:
    assert reachability.answers(f"http://127.0.0.1:{free_port()}", "abc") is None
    assert reachability.answers(f"http://[::1]:{free_port()}", "abc") is None


def found(port: int, host: str = "0.0.0.0") -> dict[str, object]:
    return {"url": f"http://127.0.0.1:{port}", "port": port, "host": host, "instance": "abc", "pid": 123}


@pytest.mark.parametrize("running", [False, True])
def test_start_does_not_print_an_address_that_reaches_another_program(
    running: bool, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither that of a new daemon, nor that of one that runs already."""

    def start(*_: object) -> object:
        if running:
            raise launch.AlreadyRunning(found(port))
        return found(port)

    monkeypatch.setattr(launch, "start", start)
    with answering(ANOTHER) as port:
        assert cli.main(["start", "--port", str(port)]) == 1
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err == (
            f"mlx-serve: the daemon runs (pid 123), but another program answers at http://127.0.0.1:{port}; end that "
            f"program, or choose another port: mlx-serve stop --port {port}; mlx-serve start --port N\n"
        )
        assert cli.main(["start", "--port", str(port), "--json"]) == 1
        assert capsys.readouterr().out == ""


def test_status_says_when_the_address_reaches_another_program(
    daemon: FakeDaemon, run: Run, environment: dict[str, str]
) -> None:
    """On macOS one can come later, and take a part of the address. The fake daemon listens on no port of its own."""
    said = f"another program answers at http://127.0.0.1:{daemon.port}"
    assert said not in run("status").stdout
    with answering(ANOTHER, port=daemon.port):
        assert said in run("status").stdout


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_start_says_when_localhost_is_another_program_over_ipv6(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Many clients try ::1 first."""
    monkeypatch.setattr(launch, "start", lambda *_: found(port))
    with answering(OURS) as port, answering(ANOTHER, "::1", port):
        assert cli.main(["start", "--port", str(port), "--json"]) == 0
        shown = capsys.readouterr()
    assert json.loads(shown.out)["pid"] == 123
    assert shown.err == f"another program answers at http://localhost:{port} over IPv6; use http://127.0.0.1:{port}\n"
