"""Connections of a download: TLS, proxies, addresses that are not for us, and answers that are no HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from fakes.hub import faults
from fakes.hub.server import CERTIFICATE, Hub
from huggingface_hub import close_session
from support.connect_proxy import Proxy
from support.waiting import GUARD

from mlx_serve.store.errors import HubUnreachable
from mlx_serve.store.hub.fetch import dialer as dial
from mlx_serve.store.hub.fetch.dialer import Dialer
from mlx_serve.store.hub.fetch.http_client import HttpClient
from mlx_serve.store.hub.fetch.timeouts import ConnectionLost, FetchStopped, Timeouts, WaitTime, Watchdog
from mlx_serve.store.store import Store

MakeFiles = Callable[..., dict[str, bytes]]
WEIGHTS = "model.safetensors"


def watchdog(stopped: Callable[[], bool] = lambda: False, window: float = 5.0) -> Watchdog:
    return Watchdog(stopped, Timeouts(window=window), WaitTime())


class Peer:
    """Answers every connection with the bytes it is given, and remembers what it was asked."""

    def __init__(self, answer: bytes) -> None:
        self.asked: list[bytes] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer:
                self.asked.append(peer.recv(65536))
                peer.sendall(self._answer)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(GUARD)


@pytest.fixture
def peer() -> Iterator[Callable[[bytes], Peer]]:
    peers: list[Peer] = []

    def make(answer: bytes) -> Peer:
        peers.append(Peer(answer))
        return peers[-1]

    yield make
    for each in peers:
        each.close()


def client_for(peer: Peer) -> tuple[HttpClient, str]:
    return HttpClient(Dialer(("http", "127.0.0.1", peer.port), Timeouts())), f"http://127.0.0.1:{peer.port}/file?a=b"


# answers


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x16\x03\x01garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n",
    ],
)
def test_an_answer_that_is_none_is_a_lost_connection(peer: Callable[[bytes], Peer], answer: bytes) -> None:
    client, url = client_for(peer(answer))
    with pytest.raises(ConnectionLost):
        client.get(url, {}, watchdog())


def test_a_request_says_who_asks_for_what_and_wants_it_unpacked(peer: Callable[[bytes], Peer]) -> None:
    other = peer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    client, url = client_for(other)
    reply = client.get(url, {"Range": "bytes=0-1"}, watchdog())
    buffer = memoryview(bytearray(10))
    assert (reply.status, reply.length, reply.read_into(buffer), bytes(buffer[:2])) == (200, 2, 2, b"hi")
    asked = other.asked[0].decode().split("\r\n")
    assert asked[0] == "GET /file?a=b HTTP/1.1"
    assert f"Host: 127.0.0.1:{other.port}" in asked
    assert {"Accept-Encoding: identity", "Range: bytes=0-1"} <= set(asked)
    assert any(line.startswith("User-Agent: mlx-serve") for line in asked)
    client.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)
def test_chunks_that_are_none_are_a_lost_connection(peer: Callable[[bytes], Peer], answer: bytes) -> None:
    client, url = client_for(peer(answer))
    reply = client.get(url, {}, watchdog())
    buffer = memoryview(bytearray(100))
    with pytest.raises(ConnectionLost):
        while reply.read_into(buffer):
            pass
    client.close()


def test_a_kept_connection_is_used_again_and_one_that_was_closed_is_not(hub: Hub, make_files: MakeFiles) -> None:
    repository = hub.add("owner/name", make_files())
    url = f"{hub.url}/owner/name/resolve/{repository.head.id}/config.json"
    client = HttpClient(Dialer(("http", "127.0.0.1", int(hub.url.rsplit(":")[-1])), Timeouts()))
    for _ in range(3):
        reply = client.get(url, {}, watchdog())
        assert reply.status == 307
        reply.skip()
    assert len(hub._peers) == 1
    hub.hang_up()
    assert client.get(url, {}, watchdog()).status == 307
    client.close()


# giving up


def test_a_connection_that_nobody_accepts_can_be_given_up_at_once() -> None:
    """A full backlog drops the greeting, as a firewall does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            looks = iter([False, False, True])
            client = HttpClient(Dialer(("http", *address), Timeouts()))
            with pytest.raises(FetchStopped):
                client.get(f"http://127.0.0.1:{address[1]}/", {}, watchdog(lambda: next(looks, True)))
            with pytest.raises(ConnectionLost, match="connection timed out"):
                HttpClient(Dialer(("http", *address), Timeouts(connect=0.2))).get(
                    f"http://127.0.0.1:{address[1]}/", {}, watchdog()
                )
        finally:
            for filler in fillers:
                filler.close()


def test_nobody_there_and_no_such_name_are_said_so() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(ConnectionLost, match="refused"):
            HttpClient(Dialer(("http", "127.0.0.1", port), Timeouts())).get(f"http://127.0.0.1:{port}/", {}, watchdog())
    with pytest.raises(ConnectionLost, match="its name cannot be resolved"):
        HttpClient(Dialer(("http", "a.invalid", 80), Timeouts())).get("http://a.invalid/", {}, watchdog())


# TLS


@pytest.fixture
def secure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    # The library keeps one client a process, with the certificates and proxies of the time when it was made.
    close_session()
    with Hub(secure=True) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running
    close_session()


def test_a_hub_behind_a_certificate_of_ones_own_is_trusted_when_told_so(
    store: Store, secure: Hub, make_files: MakeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make_files(3_000_000)
    secure.add("owner/name", files, private=True, allowed=["hf_reader"])
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    model = store.pull("owner/name", token="hf_reader")
    assert (store.view(model) / WEIGHTS).read_bytes() == files[WEIGHTS]
    assert not any(request.had_token for request in secure.cdn_requests)


def test_a_certificate_that_nobody_knows_is_refused_at_once(secure: Hub) -> None:
    client = HttpClient(Dialer(("https", "127.0.0.1", int(secure.url.rsplit(":")[-1])), Timeouts()))
    with pytest.raises(HubUnreachable, match="is not trusted") as caught:
        client.get(f"{secure.url}/", {}, watchdog())
    assert "SSL_CERT_FILE" in (caught.value.hint or "")


def test_a_secure_hub_is_not_left_for_an_insecure_host(
    store: Store, secure: Hub, make_files: MakeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    secure.add("owner/name", make_files())
    secure.fault(f"*/resolve/*{WEIGHTS}", faults.moved(f"http://localhost:{secure.cdn_url.rsplit(':')[-1]}/x"))
    with pytest.raises(HubUnreachable, match="not followed"):
        store.pull("owner/name")
    assert secure.cdn_requests == []


# proxies


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    running = Proxy("user:pass word")
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:pass%20word@{running.address}")
    yield running
    running.close()


def test_a_proxy_of_the_environment_is_used_for_both_hosts(
    store: Store, secure: Hub, make_files: MakeFiles, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    files = make_files(100_000)
    secure.add("owner/name", files)
    model = store.pull("owner/name")
    assert (store.view(model) / WEIGHTS).read_bytes() == files[WEIGHTS]
    assert {tunnel.partition(":")[0] for tunnel in proxy.tunnels} == {"127.0.0.1", "localhost"}


def test_a_host_that_needs_no_proxy_is_asked_directly(
    secure: Hub, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    client = HttpClient(Dialer(("https", "127.0.0.1", int(secure.url.rsplit(":")[-1])), Timeouts()))
    assert client.get(f"{secure.url}/", {}, watchdog()).status == 404
    client.close()
    assert proxy.tunnels == []


def test_a_proxy_that_refuses_and_one_of_another_kind_are_said_so(
    secure: Hub, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = ("https", "127.0.0.1", int(secure.url.rsplit(":")[-1]))
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:wrong@{proxy.address}")
    with pytest.raises(ConnectionLost, match="the proxy answered CONNECT with status 407"):
        HttpClient(Dialer(origin, Timeouts())).get(f"{secure.url}/", {}, watchdog())
    monkeypatch.setenv("HTTPS_PROXY", f"socks5://{proxy.address}")
    with pytest.raises(HubUnreachable, match="socks5"):
        HttpClient(Dialer(origin, Timeouts())).get(f"{secure.url}/", {}, watchdog())


def test_a_plain_hub_behind_a_proxy_is_asked_by_its_whole_address(
    peer: Callable[[bytes], Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = peer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    monkeypatch.setenv("HTTP_PROXY", f"http://me:you@127.0.0.1:{other.port}")
    client = HttpClient(Dialer(("http", "hub.invalid", 80), Timeouts()))
    assert client.get("http://hub.invalid/file", {}, watchdog()).status == 200
    client.close()
    head = other.asked[0].decode()
    assert head.startswith("GET http://hub.invalid/file HTTP/1.1\r\nHost: hub.invalid\r\n")
    assert "Proxy-Authorization: Basic bWU6eW91" in head


# addresses that are not for us


@pytest.mark.parametrize(
    ("hub_at", "sent_to", "followed"),
    [
        ("1.1.1.1", "1.0.0.1", True),
        ("1.1.1.1", "10.0.0.1", False),
        ("1.1.1.1", "127.0.0.1", False),
        ("1.1.1.1", "169.254.169.254", False),
        ("10.0.0.1", "10.0.0.2", True),
        ("10.0.0.1", "127.0.0.1", False),
        ("127.0.0.1", "169.254.169.254", False),
        ("127.0.0.1", "1.1.1.1", True),
    ],
)
def test_a_hub_cannot_send_us_to_our_neighbours(
    monkeypatch: pytest.MonkeyPatch, hub_at: str, sent_to: str, followed: bool
) -> None:
    """By the addresses behind the names, for a name can stand for any."""
    places = {"hub.example": hub_at, "cdn.example": sent_to}

    def resolved(host: str, port: int, **more: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (places[host], port))]

    def connected(line: object, address: object) -> None:
        raise ConnectionRefusedError(111, "refused in this test")

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    monkeypatch.setattr(dial.Transport, "connect", connected)
    dialer = Dialer(("https", "hub.example", 443), Timeouts())
    with pytest.raises(ConnectionLost):
        dialer.dial(("https", "hub.example", 443), watchdog())
    with pytest.raises(ConnectionLost if followed else HubUnreachable):
        dialer.dial(("https", "cdn.example", 443), watchdog())


def test_a_proxy_is_not_asked_for_our_neighbours_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    dialer = Dialer(("https", "hub.example", 443), Timeouts())
    with pytest.raises((HubUnreachable, ConnectionLost)) as caught:
        dialer.dial(("https", "169.254.169.254", 443), watchdog())
    assert isinstance(caught.value, (HubUnreachable, ConnectionLost))
