"""The sockets and the lock: each way to fail is one sentence."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from support.live_daemon import has_ipv6

from mlx_serve.daemon.http.listen import ListenError, listen_tcp
from mlx_serve.daemon.port_lock import AlreadyRunning, PortLock


def test_localhost_is_both_loopbacks() -> None:
    socks = listen_tcp("localhost", 0)
    names = {sock.getsockname()[0] for sock in socks}
    for sock in socks:
        sock.close()
    assert "127.0.0.1" in names
    assert names == ({"127.0.0.1", "::1"} if has_ipv6() else {"127.0.0.1"})


def test_localhost_binds_the_same_port_twice() -> None:
    socks = listen_tcp("localhost", 0)
    assert len({sock.getsockname()[1] for sock in socks}) == 1
    for sock in socks:
        sock.close()


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("203.0.113.1", "is not an address of this machine"),
        ("no.such.host.invalid", "cannot be resolved"),
        ("a" * 300, "cannot be resolved"),
    ],
)
def test_a_bad_host_is_said_to_be_one(host: str, words: str) -> None:
    with pytest.raises(ListenError, match=words):
        listen_tcp(host, 0)


def test_a_taken_port_is_said_to_be_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ListenError, match="is in use"):
        listen_tcp("127.0.0.1", taken.getsockname()[1])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may bind every port")
def test_a_privileged_port_is_said_to_be_one() -> None:
    with pytest.raises(ListenError, match="needs privileges"):
        listen_tcp("127.0.0.1", 1)


def test_a_lock_is_held_once_and_names_its_holder(tmp_path: Path) -> None:
    lock = PortLock.take(tmp_path, 8000)
    with pytest.raises(AlreadyRunning, match=rf"port 8000 is already running, pid {os.getpid()}"):
        PortLock.take(tmp_path, 8000)
    PortLock.take(tmp_path, 8001).release()
    lock.release()
    PortLock.take(tmp_path, 8000).release()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_left_behind_does_not_lock(tmp_path: Path) -> None:
    (tmp_path / "8000.lock").write_text("1\n")
    PortLock.take(tmp_path, 8000).release()


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "8000.lock").symlink_to(victim)
    with pytest.raises(OSError):
        PortLock.take(tmp_path, 8000)
    assert victim.read_text() == "precious"
