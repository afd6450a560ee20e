"""What a URL in a request may lead to: files of the internet, whole and within the limits, and nothing else."""

from __future__ import annotations

import gzip
from collections.abc import AsyncGenerator

import pytest
from fakes.web import OTHER, PUBLIC, Answer, Web, drip, endless, fetched, file, redirect, says, web
from support.waiting import soon, until

from mlx_serve.daemon.errors import FetchRefused

DATA = b"\x89PNG" + b"x" * 1000


@pytest.fixture
async def internet() -> AsyncGenerator[Web]:
    async with web() as made:
        yield made


async def get(internet: Web, url: str, *, private: bool = False, **limits: float) -> bytes:
    fetcher = internet.fetcher(private=private, **limits)
    try:
        return (await soon(fetched(fetcher, [url])))[url]
    finally:
        assert fetcher.budget.held == 0
        await until(lambda: internet.open == 0)


async def refused(internet: Web, url: str, *, private: bool = False, **limits: float) -> str:
    with pytest.raises(FetchRefused) as caught:
        await get(internet, url, private=private, **limits)
    assert caught.value.url == url
    said = str(caught.value)
    assert not any(inner in said for inner in ("127.0.0", "10.0.0", "169.254", "secret"))
    return said


async def test_a_file_comes_as_it_is(internet: Web) -> None:
    """Whatever its content type; the request carries the name, and nothing that tells who asks."""
    internet.pages["/a%20b.png?x=1"] = file(DATA, "Content-Type: text/plain")
    assert await get(internet, "http://pictures.example:8080/a b.png?x=1#part") == DATA
    [head] = internet.asked
    names = {line.split(":")[0].lower() for line in head.splitlines()[1:] if line}
    assert "\r\nHost: pictures.example:8080\r\n" in head
    assert names == {"host", "user-agent", "accept", "accept-encoding", "connection"}
    assert internet.dialled == [PUBLIC]


@pytest.mark.parametrize(
    "answer",
    [
        says(
            "200 OK\r\nTransfer-Encoding: chunked", b"4\r\n" + DATA[:4] + b"\r\n3e8\r\n" + DATA[4:] + b"\r\n0\r\n\r\n"
        ),
        says("200 OK", DATA),
        says("200 OK\r\nContent-Length: 1004\r\nContent-Encoding: identity", DATA),
        says("103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1004", DATA),
        says("200 OK\r\nContent-Length: 1004", DATA + b"and more"),
    ],
)
async def test_the_body_ends_where_http_says(internet: Web, answer: Answer) -> None:
    internet.pages["/"] = answer
    assert await get(internet, "http://pictures.example/") == DATA


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed_and_checked(internet: Web, status: int) -> None:
    """To another host, and relative to where they come from."""
    internet.pages |= {"/a": redirect("http://other.example/b", status), "/b": redirect("c"), "/c": file(DATA)}
    assert await get(internet, "http://pictures.example/a") == DATA
    assert internet.dialled == [PUBLIC, OTHER, OTHER]
    assert "\r\nHost: other.example\r\n" in internet.asked[-1]


async def test_five_redirects_and_no_more(internet: Web) -> None:
    internet.pages |= {f"/{number}": redirect(f"/{number + 1}") for number in range(7)} | {"/7": file(DATA)}
    assert await get(internet, "http://pictures.example/2") == DATA
    assert await refused(internet, "http://pictures.example/1") == "it redirects more than 5 times"


async def test_a_redirect_loop_ends(internet: Web) -> None:
    internet.pages["/"] = redirect("/")
    assert await refused(internet, "http://pictures.example/") == "it redirects more than 5 times"
    assert len(internet.asked) == 6


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("file:///etc/passwd", "only http:// and https:// URLs are fetched"),
        ("ftp://other.example/", "only http:// and https:// URLs are fetched"),
        ("http://me:secret@other.example/", "a URL with a user name or a password in it is not fetched"),
        ("http://[::1", "it redirects to something that is not a valid URL"),
        ("http://other.example:99999/", "it is not a valid URL"),
        ("", "its server answers 302, a redirect to nowhere"),
        ("x" * 9000, "the URL is longer than 8192 characters"),
    ],
)
async def test_redirects_to_something_else_are_not_followed(internet: Web, location: str, said: str) -> None:
    internet.pages["/"] = redirect(location)
    assert await refused(internet, "http://pictures.example/") == said
    assert len(internet.asked) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://user@pictures.example/",
        "http://user:secret@pictures.example/",
        "http://",
        "http:///a.png",
        "http://pictures.example:99999/",
        "http://pictures.example:0/",
        "http://[::1/",
        "http://a b/",
        "http://pictures.example/" + "x" * 9000,
    ],
)
async def test_urls_that_are_none_are_refused_without_a_connection(internet: Web, url: str) -> None:
    await refused(internet, url)
    assert internet.dialled == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (says("404 Not Found\r\nContent-Length: 6", b"secret"), "its server answers 404"),
        (says("500 Oh\r\nContent-Length: 0"), "its server answers 500"),
        (says("206 Partial\r\nContent-Length: 4", DATA[:4]), "its server answers 206"),
        (says("204 No Content"), "its server answers 204"),
        (says("304 Not Modified"), "its server answers 304"),
        (says("200 OK\r\nContent-Length: 99999999999"), "it is larger than 20 MiB"),
        (says("200 OK\r\nContent-Length: 2000", DATA), "its server does not answer in proper HTTP"),
        (says("200 OK\r\nContent-Length: -5", DATA), "its server does not answer in proper HTTP"),
        (says("200 OK\r\nTransfer-Encoding: chunked", b"zz\r\n"), "its server does not answer in proper HTTP"),
        (
            says("200 OK\r\nTransfer-Encoding: chunked", b"5\r\nab"),
            "its server does not answer in proper HTTP",
        ),
        (says("hello"), "its server does not answer in proper HTTP"),
        (file(gzip.compress(bytes(10 << 20)), "Content-Encoding: gzip"), "its server sends it compressed"),
        (file(DATA, "Content-Encoding: br"), "its server sends it compressed"),
    ],
)
async def test_answers_that_are_no_file_are_refused(internet: Web, answer: Answer, said: str) -> None:
    """Without repeating any of it. What is compressed is not looked at, so it cannot be a bomb."""
    internet.pages["/"] = answer
    assert (await refused(internet, "http://pictures.example/")).startswith(said)


@pytest.mark.parametrize("head", ["Connection: close", "Transfer-Encoding: chunked"])
async def test_an_endless_body_is_left_at_the_limit(internet: Web, head: str) -> None:
    internet.pages["/"] = endless(head)
    said = await refused(internet, "http://pictures.example/", bytes_each=1 << 20)
    assert said == "it is larger than 1 MiB"


async def test_an_endless_head_is_left(internet: Web) -> None:
    async def answer(writer: object) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")  # type: ignore[attr-defined]
        while True:
            writer.write(b"X: " + b"y" * 4096 + b"\r\n")  # type: ignore[attr-defined]
            await writer.drain()  # type: ignore[attr-defined]

    internet.pages["/"] = answer
    assert "proper HTTP" in await refused(internet, "http://pictures.example/")


@pytest.mark.parametrize("head", [False, True])
async def test_a_drip_ends_with_the_time(internet: Web, head: bool) -> None:
    """Bytes that keep coming do not prolong it."""
    internet.pages["/"] = drip(head=head)
    said = await refused(internet, "http://pictures.example/", seconds_each=0.3)
    assert said == "it did not arrive within 0.3 seconds"


async def test_all_pictures_of_a_request_share_a_time(internet: Web) -> None:
    internet.pages["/"] = drip()
    fetcher = internet.fetcher(seconds_request=0.3)
    with pytest.raises(FetchRefused, match=r"did not arrive within 0\.3 seconds"):
        await soon(fetched(fetcher, ["http://pictures.example/"]))


async def test_a_host_that_does_not_answer(internet: Web) -> None:
    internet.deaf = {PUBLIC}
    assert await refused(internet, "http://pictures.example/") == "its host cannot be connected to"


async def test_the_next_address_of_a_host_is_tried(internet: Web) -> None:
    internet.names["pictures.example"] = [[PUBLIC, OTHER]]
    internet.deaf = {PUBLIC}
    internet.pages["/"] = file(DATA)
    assert await get(internet, "http://pictures.example/") == DATA


async def test_no_proxy_of_the_environment_is_asked(internet: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could reach what this server must not."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    internet.pages["/"] = file(DATA)
    assert await get(internet, "http://pictures.example/") == DATA
    assert internet.dialled == [PUBLIC] and internet.asked[0].startswith("GET / HTTP/1.1\r\n")
