"""A hub of our own on the loopback address: repositories, listings, files from a second host, and faults on demand.

    with Hub() as hub:
        hub.add("owner/name", {"config.json": b"{}", "model.safetensors": Path("weights")})
        hub.fault("*/model.safetensors", truncated(1000))

It speaks what huggingface_hub 2.4 speaks (test_hub.py lets the real library use it). The hub is reached as 127.0.0.1,
its CDN as localhost on another port, so the two are different hosts for everybody.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from fakes.hub.connection import Connection
from fakes.hub.faults import Fault, Faults
from fakes.hub.journal import Journal, Request
from fakes.hub.repository import Data, Lfs, Repository
from fakes.hub.routes import Routes

CERTIFICATE = Path(__file__).with_name("localhost.pem")
"""For SSL_CERT_FILE of whoever talks to a secure hub; the key in it protects nothing."""


class Hub:
    """`folder`: every `owner/name` below it becomes a repository. `tokens`: those that belong to somebody.

    `secure`: https, with the certificate CERTIFICATE, which is good for both names and known to nobody else.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        port: int = 0,
        tokens: Collection[str] = ("hf_reader",),
        page_size: int = 1000,
        send_buffer: int | None = None,
        secure: bool = False,
    ) -> None:
        self.journal = Journal()
        self._faults = Faults()
        self._routes = Routes(tokens, page_size)
        self._closing = threading.Event()
        self._send_buffer = send_buffer
        self._tls = certified() if secure else None
        self._lock = threading.Lock()
        self._peers: dict[socket.socket, threading.Thread] = {}
        self._listeners = [_listen(port), _listen(0)]
        scheme = "https" if secure else "http"
        ports = [listener.getsockname()[1] for listener in self._listeners]
        self.url = self._routes.hub_url = f"{scheme}://127.0.0.1:{ports[0]}"
        self.cdn_url = self._routes.cdn_url = f"{scheme}://localhost:{ports[1]}"
        if folder is not None:
            for place in sorted(folder.glob("*/*")):
                self.add_folder(f"{place.parent.name}/{place.name}", place)
        self._threads = [
            threading.Thread(target=self._accept, args=(listener, host), daemon=True)
            for listener, host in zip(self._listeners, ("hub", "cdn"), strict=True)
        ]
        for thread in self._threads:
            thread.start()

    # repositories

    def add(
        self,
        id: str,
        files: Mapping[str, Data],
        *,
        lfs: Lfs | Collection[str] | None = None,
        branch: str = "main",
        **about: Any,
    ) -> Repository:
        """A repository, or a new commit of one that is there. `about`: fields of Repository."""
        repository = self._routes.repositories.setdefault(id, Repository(id))
        for name, value in about.items():
            setattr(repository, name, value)
        repository.commit(files, branch=branch, lfs=lfs)
        return repository

    def add_folder(self, id: str, folder: Path, **about: Any) -> Repository:
        """A repository of every file below a folder. They stay on disk and must not change."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return self.add(id, {path.relative_to(folder).as_posix(): path for path in paths}, **about)

    def repository(self, id: str) -> Repository:
        return self._routes.repositories[id]

    def rename(self, old: str, new: str) -> None:
        """The old name leads to the new one from now on."""
        repository = self._routes.repositories.pop(old)
        repository.id = new
        self._routes.repositories[new] = repository
        self._routes.renamed[old] = new

    # faults

    def fault(self, pattern: str, fault: Fault) -> Fault:
        """Spoil the answers to requests whose path fits a shell pattern such as `*/model.safetensors`."""
        self._faults.plan(pattern, fault)
        return fault

    def heal(self) -> None:
        """No more faults."""
        self._faults.clear()
        self._routes.endless_links = False

    def loop_links(self) -> None:
        """Every page of a listing names a next one."""
        self._routes.endless_links = True

    def expire(self) -> None:
        """The CDN refuses every address that was given out so far."""
        self._routes.forget_signatures()

    # what happened

    @property
    def requests(self) -> list[Request]:
        return self.journal.entries()

    @property
    def cdn_requests(self) -> list[Request]:
        return self.journal.entries(host="cdn")

    @property
    def bytes_sent(self) -> int:
        """Bytes of files, whole or in part, from either host. Some may still be on their way."""
        return self.journal.total("content")

    # its life

    def close(self) -> None:
        self._closing.set()
        self._faults.clear()
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                socket.create_connection(listener.getsockname(), 5).close()  # wakes it
        for thread in self._threads:
            thread.join(5)
        for listener in self._listeners:
            listener.close()
        self.hang_up()
        with self._lock:
            threads = list(self._peers.values())
        for thread in threads:
            thread.join(5)
        for repository in self._routes.repositories.values():
            repository.close()

    def hang_up(self) -> None:
        """End every connection now."""
        with self._lock:
            for peer in self._peers:
                with contextlib.suppress(OSError):
                    peer.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Hub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self, listener: socket.socket, host: str) -> None:
        while not self._closing.is_set():
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            if self._closing.is_set():
                peer.close()
                return
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._send_buffer is not None:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer)
            if self._tls is not None:
                peer = self._tls.wrap_socket(peer, server_side=True, do_handshake_on_connect=False)
            thread = threading.Thread(target=self._serve, args=(peer, host), daemon=True)
            with self._lock:
                self._peers[peer] = thread
                thread.start()

    def _serve(self, peer: socket.socket, host: str) -> None:
        try:
            Connection(peer, host, self._routes.answer, self._faults, self.journal, self._closing).run()
        finally:
            with self._lock:
                del self._peers[peer]
                peer.close()


def certified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener
