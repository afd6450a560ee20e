"""What the daemon tells systemd (sd_notify(3)): a real datagram socket, the real daemon."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.faked_daemon import FakedDaemon
from support.waiting import GUARD, wait_until

from mlx_serve.daemon.notify import Notifier

INTERVAL = 0.05
"""Seconds between two signs of life of the daemon here; systemd would wait for twice as long."""


@pytest.fixture(scope="module")
def running() -> Iterator[FakedDaemon]:
    """One daemon, which gives signs of life all the time."""
    with tempfile.TemporaryDirectory(prefix="mlxs-") as folder:
        daemon = FakedDaemon(Path(folder) / "home", WATCHDOG_USEC=str(int(INTERVAL * 2e6)))
        try:
            yield daemon
        finally:
            daemon.close()


def received(daemon: FakedDaemon) -> list[bytes]:
    """All that it has sent and nobody has read yet."""
    found = []
    daemon.notices.setblocking(False)
    try:
        while True:
            found.append(daemon.notices.recv(1000))
    except BlockingIOError:
        return found
    finally:
        daemon.notices.settimeout(GUARD)


def next_state(daemon: FakedDaemon) -> bytes:
    """The next notice that is no sign of life."""
    while (found := daemon.notices.recv(1000)) == b"WATCHDOG=1":
        pass
    return found


def test_it_is_ready_when_its_sockets_listen_and_then_alive(running: FakedDaemon) -> None:
    """The first notice of all; a request is answered at once, and the control socket is there."""
    running.ready()
    assert running.get("/healthz")[0] == 200
    assert running.socket_path.is_socket()
    assert [running.notices.recv(1000) for _ in range(3)] == [b"WATCHDOG=1"] * 3


def test_a_loop_that_stands_still_gives_no_sign_of_life(running: FakedDaemon, tmp_path: Path) -> None:
    """The process is there and its threads may run; systemd hears nothing, until the loop goes on."""
    fifo = tmp_path / "until"
    os.mkfifo(fifo)
    waiting = running.connect()
    waiting.sendall(f"GET /test/block?until={fifo} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    writer = wait_until(lambda: _open_for_writing(fifo), "the loop stands still")
    received(running)
    time.sleep(5 * INTERVAL)
    assert received(running) == []
    os.close(writer)
    assert b"200 OK" in waiting.recv(65536)
    assert running.notices.recv(1000) == b"WATCHDOG=1"


def _open_for_writing(fifo: Path) -> int | None:
    """Once somebody reads."""
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def test_a_reload_is_announced_with_its_time_and_ends_with_ready(running: FakedDaemon) -> None:
    before = time.monotonic_ns() // 1000
    running.process.send_signal(signal.SIGHUP)
    reloading, _, stamp = next_state(running).partition(b"\nMONOTONIC_USEC=")
    assert reloading == b"RELOADING=1"
    assert before <= int(stamp) <= time.monotonic_ns() // 1000
    assert next_state(running) == b"READY=1"


def test_a_reload_that_fails_ends_with_ready_too(running: FakedDaemon) -> None:
    """For the daemon serves on, with the settings that it had."""
    path = running.home / "config.yaml"
    path.write_text("server: {prot: 1}\n")
    try:
        running.process.send_signal(signal.SIGHUP)
        assert next_state(running).startswith(b"RELOADING=1\n")
        assert next_state(running) == b"READY=1"
        wait_until(
            lambda: [line for line in running.log() if line["message"].startswith("fail reload")],
            "the log, which a thread writes, tells of it",
        )
    finally:
        path.unlink()


def test_while_it_stops_it_is_alive_and_never_ready_again(running: FakedDaemon) -> None:
    """Last, for it ends the daemon. A drain may last longer than the watchdog waits; a reload meanwhile is not told."""
    busy = running.connect()
    busy.sendall(b"GET /test/stream?seconds=3600 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert b'{"n":0}' in busy.recv(65536)
    running.stop()
    assert next_state(running) == b"STOPPING=1\nEXTEND_TIMEOUT_USEC=3612000000"
    reloads = len([line for line in running.log() if line["message"].startswith("reload settings")])
    running.process.send_signal(signal.SIGHUP)
    wait_until(
        lambda: len([line for line in running.log() if line["message"].startswith("reload settings")]) > reloads,
        "it has read its settings",
    )
    received(running)
    assert [running.notices.recv(1000) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    running.stop()
    assert running.ended() == 0
    assert set(received(running)) <= {b"WATCHDOG=1"}


def test_notices_go_to_the_socket_that_asked(short_path: Path) -> None:
    """The watchdog wants one twice in its time."""
    path = str(short_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asked:
        asked.bind(path)
        notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "10000000"})
        notifier.ready()
        assert asked.recv(100) == b"READY=1"
        assert notifier.watchdog_seconds == 5


def test_a_sign_of_life_that_is_lost_is_not_the_last(short_path: Path) -> None:
    """systemd is away for a moment while it executes itself anew, and takes nothing while it has too much to read: a
    daemon that fell silent for ever would be killed by its watchdog."""
    path = short_path / "notify"
    notifier = Notifier({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "10000000"})
    notifier.alive()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asked:
        asked.bind(str(path))
        asked.setblocking(False)
        for _ in range(2000):  # until its buffer is full, and beyond
            notifier.alive()
        with pytest.raises(BlockingIOError):
            while asked.recv(100) == b"WATCHDOG=1":
                pass
        notifier.alive()
        assert asked.recv(100) == b"WATCHDOG=1"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract addresses")
def test_an_abstract_address_of_systemd_is_understood() -> None:
    name = f"mlx-serve-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asked:
        asked.bind(f"\0{name}")
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert asked.recv(100) == b"READY=1"


def test_a_notice_that_nobody_takes_is_no_error(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    Notifier({}).ready()
    assert Notifier({"WATCHDOG_USEC": "1"}).watchdog_seconds is None
    assert Notifier({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}).watchdog_seconds is None
