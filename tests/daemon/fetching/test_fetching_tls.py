"""https: the certificate is checked against the name in the URL, whatever address is connected to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from fakes.hub.server import CERTIFICATE, certified
from fakes.web import Web, fetched, file, redirect, web
from support.waiting import soon

from mlx_serve.daemon.errors import FetchRefused
from mlx_serve.daemon.fetching.fetcher import Fetcher

DATA = b"\x89PNG"


@pytest.fixture
async def secure(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Web]:
    """A server of TLS whose certificate is for localhost and 127.0.0.1."""
    async with web(certified()) as made:
        made.names = {"localhost": [["93.184.215.14"]], "pictures.example": [["93.184.215.14"]]}
        made.pages["/"] = file(DATA)
        yield made


async def refused(secure: Web, url: str) -> str:
    with pytest.raises(FetchRefused) as caught:
        await soon(fetched(secure.fetcher(), [url]))
    return str(caught.value)


async def test_a_certificate_for_the_name_is_trusted(secure: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is what TLS and the Host header carry, though the connection goes to an address."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    assert await soon(fetched(secure.fetcher(), ["https://localhost/"])) == {"https://localhost/": DATA}
    assert "\r\nHost: localhost\r\n" in secure.asked[0] and secure.dialled == ["93.184.215.14"]


async def test_a_certificate_for_another_name_is_not(secure: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    assert await refused(secure, "https://pictures.example/") == "the certificate of its host is not trusted"
    assert secure.asked == []


async def test_a_certificate_that_nobody_knows_is_not(secure: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert await refused(secure, "https://localhost/") == "the certificate of its host is not trusted"


async def test_a_redirect_from_https_to_http_is_not_followed(secure: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    secure.pages["/"] = redirect("http://localhost/other")
    assert await refused(secure, "https://localhost/") == "it redirects from https to http"


async def test_a_server_without_tls_is_not_spoken_to() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}/"
    with pytest.raises(FetchRefused, match="its host does not speak TLS as it should"):
        await soon(fetched(Fetcher(private=True, version="1"), [url]))
    server.close()
    await server.wait_closed()
