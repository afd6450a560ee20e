"""Nothing is fetched from private addresses, by whichever way a URL leads there, unless the settings allow it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from fakes.web import PUBLIC, Web, fetched, file, redirect, web
from support.waiting import soon

from mlx_serve.daemon.errors import FetchRefused
from mlx_serve.daemon.fetching import checked_network
from mlx_serve.daemon.fetching.fetcher import Fetcher

DATA = b"\x89PNG"
INSIDE = [
    *("10.0.0.1", "172.16.0.1", "192.168.0.1", "127.0.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "0.0.0.0"),
    *("::1", "::", "fe80::1%eth0", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::10.0.0.1", "2002:a00:1::", "::127.0.0.1"),
]


@pytest.fixture
async def internet() -> AsyncGenerator[Web]:
    async with web() as made:
        made.pages["/"] = file(DATA)
        yield made


async def get(fetcher: Fetcher, url: str) -> bytes:
    return (await soon(fetched(fetcher, [url])))[url]


async def refused(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(FetchRefused) as caught:
        await get(fetcher, url)
    return str(caught.value)


@pytest.mark.parametrize("address", INSIDE)
async def test_a_name_with_a_private_address_is_not_connected_to(internet: Web, address: str) -> None:
    """The sentence names the setting and no address."""
    internet.names["pictures.example"] = [[address]]
    said = await refused(internet.fetcher(), "http://pictures.example/")
    assert "models.fetch_private_images" in said and address not in said
    assert internet.dialled == []


@pytest.mark.parametrize("address", INSIDE)
async def test_a_redirect_to_a_private_address_is_not_followed(internet: Web, address: str) -> None:
    internet.names["inside.example"] = [[address]]
    internet.pages["/away"] = redirect("http://inside.example/")
    said = await refused(internet.fetcher(), "http://pictures.example/away")
    assert said == "it redirects to a host of a more private network"
    assert internet.dialled == [PUBLIC]


async def test_the_settings_can_allow_private_addresses(internet: Web) -> None:
    internet.names["nas.local"] = [["192.168.0.5"]]
    assert await get(internet.fetcher(private=True), "http://nas.local/") == DATA


@pytest.mark.parametrize(
    ("first", "second", "followed"),
    [
        ("192.168.0.5", "192.168.0.6", True),
        ("192.168.0.5", PUBLIC, True),
        ("127.0.0.1", "192.168.0.5", True),
        (PUBLIC, "192.168.0.5", False),
        (PUBLIC, "169.254.169.254", False),
        ("192.168.0.5", "127.0.0.1", False),
        ("192.168.0.5", "169.254.169.254", False),
        ("127.0.0.1", "169.254.169.254", False),
    ],
)
async def test_even_then_a_redirect_leads_to_nothing_more_private(
    internet: Web, first: str, second: str, followed: bool
) -> None:
    """A picture's host on the internet has no business in this network, nor a printer with the metadata service."""
    internet.names |= {"a.example": [[first]], "b.example": [[second]]}
    internet.pages["/away"] = redirect("http://b.example/")
    fetcher = internet.fetcher(private=True)
    if followed:
        assert await get(fetcher, "http://a.example/away") == DATA
    else:
        assert "more private network" in await refused(fetcher, "http://a.example/away")


@pytest.mark.parametrize("addresses", [[PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC, "::1"]])
async def test_one_private_address_among_public_ones_is_enough(internet: Web, addresses: list[str]) -> None:
    """Which of them is connected to would be chance."""
    internet.names["pictures.example"] = [addresses]
    await refused(internet.fetcher(), "http://pictures.example/")
    assert internet.dialled == []


async def test_a_name_that_changes_its_address_gains_nothing(internet: Web) -> None:
    """DNS rebinding: the name is resolved once, and the connection goes to the very address that was checked."""
    internet.names["pictures.example"] = [[PUBLIC], ["127.0.0.1"]]
    assert await get(internet.fetcher(), "http://pictures.example/") == DATA
    assert internet.dialled == [PUBLIC]


async def test_a_name_that_changes_its_address_for_the_redirect_is_checked_again(internet: Web) -> None:
    internet.names["pictures.example"] = [[PUBLIC], ["127.0.0.1"]]
    internet.pages["/away"] = redirect("/")
    assert "more private" in await refused(internet.fetcher(), "http://pictures.example/away")
    assert internet.dialled == [PUBLIC]


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:7f00:1]", "localhost", "LOCALHOST."],
)
async def test_loopback_has_many_spellings(host: str) -> None:
    """By the system's own resolver, and a server that would have answered."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await refused(Fetcher(private=False, version="1"), f"http://{host}:{port}/")
    server.close()
    await server.wait_closed()
    assert asked == []


async def test_the_connection_goes_to_the_address_that_was_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the system's resolver and a real connection: the name is looked up once."""
    looked_up: list[str] = []

    def resolved(host: str, port: int, **more: Any) -> list[Any]:
        looked_up.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async with web() as internet:
        internet.pages["/"] = file(DATA)
        monkeypatch.setattr(checked_network.socket, "getaddrinfo", resolved)
        url = f"http://pictures.example:{internet.port}/"
        assert await get(Fetcher(private=True, version="1"), url) == DATA
        assert looked_up == ["pictures.example"]
        assert f"Host: pictures.example:{internet.port}\r\n" in internet.asked[0]


@pytest.mark.parametrize("failure", [socket.gaierror(-2, "unknown"), UnicodeError("label too long")])
async def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    def resolved(host: str, port: int, **more: Any) -> list[Any]:
        raise failure

    monkeypatch.setattr(checked_network.socket, "getaddrinfo", resolved)
    said = await refused(Fetcher(private=False, version="1"), "http://nowhere.example/")
    assert said == "the name of its host cannot be resolved"
