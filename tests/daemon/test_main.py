"""The daemon as a process: it starts at once or says why not, and it always ends."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.faked_daemon import FakedDaemon
from support.waiting import GUARD

LOOPS = ["asyncio", "uvloop"]


@pytest.fixture
def daemons(short_path: Path) -> Iterator[Any]:
    started: list[FakedDaemon] = []

    def start(*flags: str, home: str = "home", **options: Any) -> FakedDaemon:
        started.append(FakedDaemon(short_path / home, *flags, **options))
        return started[-1]

    yield start
    for each in started:
        each.close()


def ask(sock: socket.socket, path: str) -> None:
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())


def rest(sock: socket.socket) -> bytes:
    said = b""
    while part := sock.recv(65536):
        said += part
    sock.close()
    return said


@pytest.mark.parametrize("loop", LOOPS)
def test_idle_connections_do_not_hold_the_daemon(daemons: Any, loop: str) -> None:
    """One kept alive after a request, one that never sent a byte, one with half a head."""
    daemon = daemons(loop=loop).ready()
    kept, fresh, half = daemon.connect(), daemon.connect(), daemon.connect()
    ask(kept, "/healthz")
    assert b"200 OK" in kept.recv(65536)
    half.sendall(b"GET /heal")
    daemon.stop()
    assert daemon.ended() == 0
    assert rest(kept) == rest(fresh) == b""
    assert list((daemon.home / "run").iterdir()) == [], "socket and lock are gone"
    assert daemon.notes.read_text().splitlines() == ["residency started", "residency closed", "may sleep"]
    assert f"loop={loop}" in daemon.log()[0]["message"]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_running_stream_finishes_within_the_drain(daemons: Any, loop: str) -> None:
    daemon = daemons(loop=loop).ready()
    idle, busy = daemon.connect(), daemon.connect()
    ask(busy, "/test/stream?seconds=1")
    assert b'{"n":0}' in busy.recv(65536)
    daemon.stop()
    said = rest(busy)
    assert daemon.ended() == 0
    assert b'{"n":19}' in said and said.endswith(b"0\r\n\r\n")
    assert rest(idle) == b""
    assert daemon.notices.recv(1000).startswith(b"STOPPING=1\nEXTEND_TIMEOUT_USEC=")


@pytest.mark.parametrize("loop", LOOPS)
def test_what_outlasts_the_drain_is_cut_with_an_error_record(daemons: Any, loop: str) -> None:
    daemon = daemons(loop=loop, MLX_SERVE_SERVER_DRAIN_SECONDS="0.3").ready()
    stream, stuck = daemon.connect(), daemon.connect()
    ask(stuck, "/test/stuck")
    ask(stream, "/test/stream?seconds=3600")
    assert b'{"n":0}' in stream.recv(65536)
    stopped = time.monotonic()
    daemon.stop()
    said = rest(stream)
    assert daemon.ended() == 0 and time.monotonic() - stopped > 0.3
    assert b"shutting down" in said and said.endswith(b"\r\n0\r\n\r\n"), "the record is the last one, and is seen"


def test_a_second_signal_is_at_once(daemons: Any) -> None:
    daemon = daemons().ready()
    busy = daemon.connect()
    ask(busy, "/test/stream?seconds=3600")
    assert b'{"n":0}' in busy.recv(65536)
    daemon.stop()
    assert daemon.notices.recv(1000).startswith(b"STOPPING=1")
    daemon.stop(signal.SIGINT)
    assert daemon.ended() == 0
    assert b"shutting down" in rest(busy)


def test_while_draining_the_control_socket_tells_and_no_new_work_is_taken(daemons: Any) -> None:
    daemon = daemons().ready()
    busy, kept = daemon.connect(), daemon.connect()
    ask(busy, "/test/stream?seconds=3600")
    assert b'{"n":0}' in busy.recv(65536)
    port = daemon.port
    daemon.stop()
    assert daemon.notices.recv(1000).startswith(b"STOPPING=1")
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(daemon.socket_path))
        control.sendall(b"GET /control/v1/status HTTP/1.1\r\nHost: mlx-serve\r\nConnection: close\r\n\r\n")
        assert b'"draining":true' in rest(control)
    assert rest(kept) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=GUARD)
    daemon.process.kill()
    busy.close()


def test_both_doors_answer_and_only_one_has_the_control_routes(daemons: Any) -> None:
    daemon = daemons().ready()
    assert daemon.get("/healthz")[0] == 200
    assert daemon.get("/control/v1/status")[0] == 404
    assert daemon.socket_path.stat().st_mode & 0o777 == 0o600
    assert daemon.socket_path.parent.stat().st_mode & 0o777 == 0o700
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(daemon.socket_path))
        control.sendall(b"GET /healthz HTTP/1.1\r\nHost: mlx-serve\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in rest(control)


def test_a_second_daemon_on_the_port_is_told_whose_it_is(daemons: Any) -> None:
    first = daemons().ready()
    second = daemons(port=first.port)
    assert second.ended() == 75
    assert second.said() == f"mlx-serve: a daemon for port {first.port} is already running, pid {first.process.pid}\n"
    assert first.get("/healthz")[0] == 200, "the first lives on, reachable"


def test_after_kill_nine_the_next_start_works(daemons: Any) -> None:
    first = daemons().ready()
    port = first.port
    first.process.kill()
    first.process.wait()
    assert first.socket_path.exists(), "what it left behind"
    second = daemons(port=port).ready()
    assert second.get("/healthz")[0] == 200


def test_two_daemons_of_one_home_on_two_ports(daemons: Any) -> None:
    first = daemons().ready()
    port = first.port
    second = daemons().ready()
    assert first.get.__self__ is first and len(list((first.home / "run").glob("*.sock"))) == 2
    second.stop()
    assert second.ended() == 0
    assert [path.stem for path in (first.home / "run").glob("*.sock")] == [str(port)]
    assert first.get("/healthz")[0] == 200


def test_a_taken_port_is_one_sentence(daemons: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        daemon = daemons(port=port)
        assert daemon.ended() == 1
        assert daemon.said() == (
            f"mlx-serve: port {port} is in use by {psutil.Process().name()} (pid {os.getpid()}); stop that one, or "
            "choose another port with --port\n"
        )


def test_a_bad_setting_exits_78(daemons: Any, short_path: Path) -> None:
    (short_path / "home").mkdir()
    (short_path / "home" / "config.yaml").write_text("server:\n  prot: 1\n")
    daemon = daemons()
    assert daemon.ended() == 78
    assert daemon.said().endswith("config.yaml:2: server.prot is not a setting; did you mean server.port?\n")


def test_a_daemon_that_should_always_ask_for_keys_and_has_none_exits_78(daemons: Any) -> None:
    daemon = daemons(MLX_SERVE_SERVER_REQUIRE_KEYS="always")
    assert daemon.ended() == 78
    assert "server.require_keys is always, but there is no key to send" in daemon.said()


def test_a_short_key_exits_78_and_is_not_shown(daemons: Any) -> None:
    daemon = daemons(MLX_SERVE_SERVER_API_KEYS="hunter22")
    assert daemon.ended() == 78
    said = daemon.said()
    assert "at least 16 characters" in said and "hunter22" not in said


def test_a_home_that_cannot_be_made_is_one_sentence(daemons: Any, tmp_path: Path) -> None:
    daemon = daemons(MLX_SERVE_HOME="/dev/null/home")
    assert daemon.ended() == 1
    assert (
        daemon.said()
        == "mlx-serve: cannot make /dev/null/home: Not a directory; set MLX_SERVE_HOME to a folder of your own\n"
    )


def test_preload_goes_on_after_a_failure_and_never_delays_the_start(daemons: Any) -> None:
    daemon = daemons("--preload", "bad", "--preload", "a/b", "--log-level", "debug").ready()
    assert daemon.get("/healthz")[0] == 200
    daemon.stop()
    assert daemon.ended() == 0
    assert daemon.notes.read_text().splitlines()[1:3] == ["preload bad", "preload a/b"]
    messages = [line["message"] for line in daemon.log()]
    assert "fail preload name=bad reason=no such model" in messages and "preload model name=a/b" in messages


def test_a_full_collection_passes_over_what_stays_for_ever(daemons: Any) -> None:
    """Modules and routes are tens of thousands of objects: every stream would wait while they are looked at."""
    frozen, looked_at = map(int, daemons().ready().get("/test/frozen")[1].split())
    assert frozen > 10 * looked_at


def test_usr1_reopens_the_log(daemons: Any) -> None:
    daemon = daemons().ready()
    (path,) = (daemon.home / "logs").glob("*.log")
    path.rename(path.with_suffix(".old"))
    daemon.process.send_signal(signal.SIGUSR1)
    daemon.stop()
    assert daemon.ended() == 0
    assert daemon.log()[-1]["message"].startswith("stop daemon")
