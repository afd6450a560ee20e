"""Another program on a part of our address: it is asked for, named, and never taken for ourselves.

`bsd` gives Linux the rule that macOS has for SO_REUSEADDR: with it, 0.0.0.0 can be bound beside a program on
127.0.0.1, and connections to 127.0.0.1 reach that program.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from support.live_daemon import has_ipv6
from support.ports import free_port
from support.waiting import GUARD

from mlx_serve.daemon.http import listen, port_holder
from mlx_serve.daemon.http.listen import ListenError, listen_tcp

needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
IPV6 = [pytest.param(host, marks=needs_ipv6) for host in ("::", "::1")]


class BsdSocket(socket.socket):
    """Linux allows with SO_REUSEPORT what macOS allows with SO_REUSEADDR."""

    def setsockopt(self, *given: object) -> None:
        if given[:2] == (socket.SOL_SOCKET, socket.SO_REUSEADDR):
            super().setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().setsockopt(*given)  # type: ignore[call-overload]


@pytest.fixture
def bsd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", BsdSocket)


@contextmanager
def other_program(host: str, port: int = 0, family: int = socket.AF_INET) -> Iterator[socket.socket]:
    with BsdSocket(family, socket.SOCK_STREAM) as sock:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen()
        yield sock


def test_the_simulated_rule_is_the_one_that_makes_trouble(bsd: None) -> None:
    """What a daemon did that set SO_REUSEADDR at once: it listens, and its own address reaches the other program."""
    with other_program("127.0.0.1") as other, socket.socket() as sock:
        port = other.getsockname()[1]
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("0.0.0.0", port))
        sock.listen()
        with socket.create_connection(("127.0.0.1", port), GUARD):
            other.settimeout(GUARD)
            other.accept()[0].close()
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.accept()


@pytest.mark.parametrize("host", ["0.0.0.0", IPV6[0], "127.0.0.1", "localhost"])
def test_a_program_on_the_loopback_address_is_in_the_way(bsd: None, host: str) -> None:
    """It is named with its pid: here it is this test itself."""
    with other_program("127.0.0.1") as other, pytest.raises(ListenError) as caught:
        listen_tcp(host, other.getsockname()[1])
    assert f"(pid {os.getpid()})" in str(caught.value) and "is in use by" in str(caught.value)


def test_a_program_on_another_address_of_this_machine_is_in_the_way(bsd: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """0.0.0.0 stands for all of them, not for 127.0.0.1 alone. On a machine without a network card 127.0.0.2, which
    Linux has, plays its address."""
    entries = [entry for card in psutil.net_if_addrs().values() for entry in card if entry.family == socket.AF_INET]
    address = next((entry.address for entry in entries if not entry.address.startswith("127.")), None)
    if address is None:
        address = "127.0.0.2"
        card = type("Entry", (), {"family": socket.AF_INET, "address": address})
        monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"en0": [card]})
    with other_program(address) as other, pytest.raises(ListenError, match="is in use by"):
        listen_tcp("0.0.0.0", other.getsockname()[1])


def test_one_that_comes_between_the_question_and_the_answer_is_noticed(
    bsd: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody answered when it was asked; the connection to ourselves does not arrive."""
    monkeypatch.setattr(listen, "_ARRIVAL_MS", 50)
    asked: list[str] = []
    real = port_holder.find

    def nobody_yet(host: str, port: int) -> str | None:
        asked.append(host)
        return None if len(asked) == 1 else real(host, port)

    monkeypatch.setattr(port_holder, "find", nobody_yet)
    with other_program("127.0.0.1") as other, pytest.raises(ListenError) as caught:
        listen_tcp("0.0.0.0", other.getsockname()[1])
    assert "of 127.0.0.1 is in use by" in str(caught.value) and asked == ["0.0.0.0", "127.0.0.1"]


def test_one_that_never_accepts_is_in_the_way(bsd: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue is full, so a connection to it does not come about."""
    monkeypatch.setattr(port_holder, "_CONNECT_SECONDS", 0.05)
    monkeypatch.setattr(port_holder, "_process", lambda port: None)
    with other_program("127.0.0.1") as other:
        other.listen(0)
        port = other.getsockname()[1]
        waiting = []
        for _ in range(4):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(("127.0.0.1", port))
        with pytest.raises(ListenError, match="is in use by another program"):
            listen_tcp("0.0.0.0", port)
        for each in waiting:
            each.close()


def test_a_server_of_another_user_is_named_by_what_it_says(bsd: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_holder, "_process", lambda port: None)
    with other_program("127.0.0.1") as other:

        def serve() -> None:
            other.settimeout(GUARD)
            other.accept()[0].close()  # to see whether anybody listens
            near, _ = other.accept()
            with near:
                near.recv(100)
                near.sendall(b"HTTP/1.0 200 OK\r\nServer: nginx/1.27\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ListenError, match=r"is in use by a program that calls itself nginx/1\.27; stop that one"):
            listen_tcp("127.0.0.1", other.getsockname()[1])
        thread.join(GUARD)


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_connections_that_the_last_daemon_closed_are_not_in_the_way(host: str) -> None:
    """They stay in TIME_WAIT for up to a minute, also on a system that has nothing but the real rule; twice, since the
    second daemon's connections stay as the first one's did."""
    port = free_port()
    for _ in range(3):
        (sock,) = listen_tcp(host, port)
        with socket.create_connection(("127.0.0.1", port), GUARD) as client:
            sock.setblocking(True)
            near, _ = sock.accept()
            near.close()  # the side that closes first waits
            assert client.recv(1) == b""
        with socket.socket() as plain, pytest.raises(OSError):
            plain.bind((host, port))
        sock.close()


def test_a_client_that_is_faster_than_the_check_does_not_spoil_it(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    early: list[socket.socket] = []
    real = socket.create_connection

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        early.append(real(address, timeout))
        return real(address, timeout)

    monkeypatch.setattr(socket, "create_connection", connect)
    (sock,) = listen_tcp("127.0.0.1", port)
    monkeypatch.undo()
    with sock, early[0]:
        assert early[0].recv(1) == b""


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", *IPV6])
def test_a_free_address_listens_and_is_reached(host: str) -> None:
    socks = listen_tcp(host, 0)
    for sock in socks:
        own = sock.getsockname()[0]
        with socket.create_connection(({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(own, own), sock.getsockname()[1])):
            pass
        sock.close()


@needs_ipv6
def test_localhost_passes_over_a_free_port_that_is_taken_on_the_other_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` is ::1 for some clients and 127.0.0.1 for others: a port that is ours on one only would be two
    programs."""
    with other_program("::1", family=socket.AF_INET6) as other:
        taken, free = other.getsockname()[1], free_port()
        ports = [taken, free]
        real = listen._open

        def scripted(family: int, address: tuple[str, int], **options: bool) -> socket.socket:
            return real(family, (address[0], ports.pop(0)) if address[1] == 0 else address, **options)

        monkeypatch.setattr(listen, "_open", scripted)
        socks = listen_tcp("localhost", 0)
    assert [sock.getsockname()[1] for sock in socks] == [free, free] and ports == []
    for sock in socks:
        sock.close()


@needs_ipv6
def test_localhost_on_a_port_that_is_taken_on_one_family_is_refused() -> None:
    with other_program("::1", family=socket.AF_INET6) as other, pytest.raises(ListenError, match="is in use by"):
        listen_tcp("localhost", other.getsockname()[1])
