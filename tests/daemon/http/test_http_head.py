"""Heads: what Sanic lets through and this server does not, each with one answer in JSON."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from support.raw_http import HOST, Answer, statuses, wire

from mlx_serve.daemon.http.head import RefusedRequest, parse

CLOSE = b"Connection: close\r\n"


def test_a_head_is_parsed_into_its_parts() -> None:
    head = parse(
        b"POST /v1/chat?x=%2f HTTP/1.1\r\nHost: a:1\r\nContent-Length: 12\r\nX-Name:  v \r\nExpect: 100-continue"
    )
    assert (head.method, head.target, head.version) == ("POST", "/v1/chat?x=%2f", "1.1")
    assert head.headers[2] == ("x-name", "v")
    assert head.length == 12 and head.keep_alive and head.expects_continue


@pytest.mark.parametrize(
    ("head", "path"),
    [
        (b"GET /api/tags?{} HTTP/1.1\r\nHost: a", "/api/tags?"),
        (b"GET /api/tags HTTP/9.9\r\nHost: a", "/api/tags"),
        (b"get /api/tags HTTP/1.1\r\nHost: a", "/api/tags"),
        (b"GET /api/tags x HTTP/1.1\r\nHost: a", "/api/tags"),
        (b"GET /api/tags HTTP/1.1\r\nHost: a b", "/api/tags"),
        (b"GET http://other/api/tags HTTP/1.1\r\nHost: a", "/"),
        (b"GET", "/"),
    ],
)
def test_a_refusal_knows_the_path_as_far_as_it_is_one(head: bytes, path: str) -> None:
    """So that the answer is in the dialect of the endpoint that was meant."""
    with pytest.raises(RefusedRequest) as refused:
        parse(head)
    assert refused.value.target == path


@pytest.mark.parametrize(
    "head",
    [
        b"GET /api/tags?{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/tags HTTP/1.1\nHost: localhost\n\n",
        b"GET /api/blobs/" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000,
    ],
)
async def test_a_head_that_cannot_be_read_is_answered_under_its_path(
    head: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """What renders errors is asked for those of the path, not of the root."""
    asked: list[str] = []
    async with wire() as served:
        render = served.app.error_handler.response

        def noted(request: Any, error: Any) -> Any:
            asked.append(request.path)
            return render(request, error)

        served.app.error_handler.response = noted  # type: ignore[method-assign]
        answer = await served.ask(head)
    assert answer.status in (400, 431)
    assert asked and all(path.startswith("/api/") for path in asked)


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: Upgrade, Close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: Keep-Alive\r\n", True),
    ],
)
def test_keep_alive(version: bytes, connection: bytes, kept: bool) -> None:
    assert parse(b"GET / HTTP/" + version + b"\r\n" + connection + b"Host: a").keep_alive is kept


@pytest.mark.parametrize(
    "lines",
    [
        b"Host : localhost\r\n",
        b"Host: localhost\r\nContent-Length : 5\r\n",
        b"Host: localhost\r\nHost: localhost\r\n",
        b"",
        b"Host:\r\n",
        b"Host: a b\r\n",
        b"Host: a,b\r\n",
        b"Host: user@host\r\n",
        b"Host: a/b\r\n",
        b"Host: localhost\r\nX-A: a\x00b\r\n",
        b"Host: localhost\r\nX-A: a\rb\r\n",
        b"Host: localhost\r\nX-A: a\x7fb\r\n",
        b"Host: localhost\r\nX-A: 1\r\n folded: yes\r\n",
        b"Host: localhost\r\n\tfolded: yes\r\n",
        b"Host: localhost\r\nno colon\r\n",
        b"Host: localhost\r\n: no name\r\n",
        b"Host: localhost\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
        b"Host: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Host: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Host: localhost\r\nTransfer-Encoding: gzip, chunked\r\n",
        b"Host: localhost\r\nTransfer-Encoding: identity\r\n",
        b"Host: localhost\r\nContent-Length: +5\r\n",
        b"Host: localhost\r\nContent-Length: -5\r\n",
        b"Host: localhost\r\nContent-Length: 0x5\r\n",
        b"Host: localhost\r\nContent-Length: 5,5\r\n",
        b"Host: localhost\r\nContent-Length:\r\n",
        "Host: localhost\r\nContent-Length: ٥\r\n".encode(),
    ],
)
async def test_odd_headers_are_400(lines: bytes) -> None:
    async with wire() as server:
        answer = await server.ask(b"POST /echo HTTP/1.1\r\n" + lines + CLOSE + b"\r\nhello")
        assert answer.status == 400
        assert answer.headers["content-type"] == "application/json"
        assert await server.still_works()


@pytest.mark.parametrize(
    "line",
    [
        b"GET http://localhost/ok HTTP/1.1",
        b"GET http://[::1 HTTP/1.1",
        b"CONNECT localhost:443 HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"GET /a\x00b HTTP/1.1",
        b"GET /a\\b HTTP/1.1",
        b"GET /a#b HTTP/1.1",
        "GET /ü HTTP/1.1".encode(),
        b"GET ok HTTP/1.1",
        b"GET  /ok HTTP/1.1",
        b"GET /ok",
        b"GET /ok HTTP/1.1 x",
        b"GET /ok HTTX/1.1",
        b"get /ok HTTP/1.1",
    ],
)
async def test_odd_request_lines_are_400_in_one_line_of_log(line: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with wire() as server:
            assert (await server.ask(line + b"\r\n" + HOST + b"\r\n")).status == 400
    assert len(caplog.records) == 1 and caplog.records[0].exc_info is None


async def test_a_later_http_is_505() -> None:
    async with wire() as server:
        assert (await server.ask(b"GET /ok HTTP/3.0\r\n" + HOST + b"\r\n")).status == 505


async def test_a_space_before_the_colon_never_makes_a_second_request() -> None:
    """Sanic ignores `Content-Length :` and reads the body as the next request: two answers for one request."""
    body = b"GET /ok HTTP/1.1\r\n" + HOST + b"\r\n"
    async with wire() as server:
        said = await server.exchange(b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length : 40\r\n\r\n" + body)
        assert statuses(said) == [400]


async def test_lines_that_end_in_a_bare_line_feed_are_refused_at_once() -> None:
    async with wire() as server:
        assert (await server.ask(b"GET /ok HTTP/1.1\nHost: localhost\n\n")).status == 400


async def test_tls_on_this_port_is_told_so_at_once() -> None:
    async with wire() as server:
        answer = await server.ask(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40)
        assert answer.status == 400 and b"TLS" in answer.wire


async def test_an_empty_line_before_a_request_is_allowed() -> None:
    async with wire() as server:
        answer = await server.ask(b"\r\n\r\nGET /ok HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")
        assert answer.status == 200


@pytest.mark.parametrize(
    "lines", [b"X-Long: " + b"a" * 17_000 + b"\r\n", b"".join(b"X-%d: 1\r\n" % number for number in range(101))]
)
async def test_a_head_that_is_too_large_is_431_in_json(lines: bytes) -> None:
    async with wire() as server:
        answer = await server.ask(b"GET /ok HTTP/1.1\r\n" + HOST + lines + b"\r\n")
        assert answer.status == 431 and answer.wire.startswith(b'{"error"')


async def test_an_encoded_body_is_415_in_the_dialect_of_its_path() -> None:
    async with wire() as server:
        seen = []
        render = server.app.error_handler.response
        server.app.error_handler.response = lambda request, error: (seen.append(request.path), render(request, error))[
            1
        ]
        answer = await server.ask(
            b"POST /api/chat HTTP/1.1\r\n" + HOST + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
        )
        assert answer.status == 415 and seen == ["/api/chat"]


async def test_identity_is_no_encoding() -> None:
    async with wire() as server:
        request = (
            b"POST /echo HTTP/1.1\r\n" + HOST + CLOSE + b"Content-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc"
        )
        assert (await server.ask(request)).wire == b"abc"


async def test_an_unknown_expectation_is_417() -> None:
    async with wire() as server:
        request = b"POST /echo HTTP/1.1\r\n" + HOST + b"Expect: tea\r\nContent-Length: 3\r\n\r\nabc"
        assert (await server.ask(request)).status == 417


async def test_every_answer_has_the_safe_headers_and_no_server() -> None:
    async with wire() as server:
        for request in (b"GET /ok HTTP/1.1\r\n" + HOST, b"GET /nope HTTP/1.1\r\n" + HOST, b"GET /ok HTTP/1.1\r\n"):
            answer = await server.ask(request + CLOSE + b"\r\n")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["date"].endswith("GMT")
            assert "server" not in answer.headers and "alt-svc" not in answer.headers


@pytest.mark.parametrize(
    ("given", "echoed"),
    [(b"abc-1.2_X", True), (b"a" * 64, True), (b"a" * 65, False), (b"a b", False), ("ü".encode(), False), (b"", False)],
)
async def test_a_request_id_is_echoed_only_when_it_is_plain(given: bytes, echoed: bool) -> None:
    async with wire() as server:
        answer = await server.ask(b"GET /ok HTTP/1.1\r\n" + HOST + CLOSE + b"X-Request-Id: " + given + b"\r\n\r\n")
        assert (answer.headers["x-request-id"] == given.decode()) is echoed
        assert answer.headers["x-request-id"]


async def test_errors_are_json_even_for_browsers() -> None:
    async with wire() as server:
        for path in (b"/nope", b"/broken"):
            answer = await server.ask(b"GET " + path + b" HTTP/1.1\r\n" + HOST + CLOSE + b"Accept: text/html\r\n\r\n")
            assert answer.headers["content-type"] == "application/json"
            assert b"secret" not in answer.wire and b"Traceback" not in answer.wire


async def test_pipelined_requests_are_answered_in_order() -> None:
    one = b"GET /ok HTTP/1.1\r\n" + HOST + b"\r\n"
    two = b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"
    last = b"GET /nope HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n"
    async with wire() as server:
        said = await server.exchange(one + two + last)
        assert statuses(said) == [200, 200, 404]


async def test_a_head_request_gets_no_body() -> None:
    async with wire() as server:
        for path in (b"/ok", b"/stream"):
            answer = await server.ask(b"HEAD " + path + b" HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")
            assert (answer.status, answer.wire) == (200, b"")


async def test_no_content_has_no_body_and_no_length() -> None:
    async with wire() as server:
        answer = await server.ask(b"GET /empty HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")
        assert (answer.status, answer.wire) == (204, b"") and "content-length" not in answer.headers


async def test_http_10_gets_a_stream_without_chunks() -> None:
    async with wire() as server:
        answer: Answer = await server.ask(b"GET /stream HTTP/1.0\r\n" + HOST + b"\r\n")
        assert answer.wire == b"data: 1\n\ndata: 2\n\n"
        assert "transfer-encoding" not in answer.headers and answer.headers["connection"] == "close"


async def test_one_access_line_per_request(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mlx_serve"):
        async with wire() as server:
            await server.ask(b"GET /ok?key=hunter22 HTTP/1.1\r\n" + HOST + CLOSE + b"X-Request-Id: r1\r\n\r\n")
    (record,) = caplog.records
    fields = record.__dict__["fields"]
    assert (fields["method"], fields["path"], fields["status"], fields["id"]) == ("GET", "/ok", 200, "r1")
    assert 0 <= fields["seconds"] < 5 and "hunter22" not in str(fields)


def test_a_refusal_repeats_nothing_of_the_request() -> None:
    with pytest.raises(RefusedRequest) as caught:
        parse(b"GET /ok HTTP/1.1\r\nHost: <script>")
    assert "script" not in str(caught.value)
