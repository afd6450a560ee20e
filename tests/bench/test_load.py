"""The load generator counts what the server says it generated, and takes no broken stream for an answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence

import aiohttp
import pytest
from aiohttp import web
from bench.load import StreamFailed, level, stream

CONTENT = {"choices": [{"delta": {"content": "x"}, "finish_reason": None}]}
LAST = {"choices": [{"delta": {}, "finish_reason": "length"}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 7}}
ERROR = {"error": {"message": "the model's process died"}}


@pytest.fixture
async def serve() -> AsyncIterator:
    """A server that streams the given events, whatever it is asked."""
    runners = []

    async def start(events: Sequence[dict], status: int = 200) -> str:
        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(status=status)
            await response.prepare(request)
            for event in events:
                await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            return response

        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        runners.append(runner := web.AppRunner(app))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


async def test_tokens_are_the_servers_own_count(serve) -> None:
    """One chunk may hold many tokens: usage counts, not chunks."""
    url = await serve([CONTENT, LAST, USAGE])
    async with aiohttp.ClientSession() as session:
        answer = await stream(session, url, "m", "hello", 7)
    assert (answer.prompt_tokens, answer.tokens) == (3, 7)
    assert 0 < answer.first <= answer.total


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([CONTENT, USAGE], 200),
        ([CONTENT, LAST], 200),
        ([], 200),
        ([CONTENT, ERROR, LAST, USAGE], 200),
        ([CONTENT, LAST, USAGE], 503),
    ],
    ids=["no finish_reason", "no usage", "nothing", "an error event", "an error status"],
)
async def test_a_broken_stream_is_an_error(serve, events: list[dict], status: int) -> None:
    url = await serve(events, status)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(StreamFailed):
            await stream(session, url, "m", "hello", 7)
    result = await level(url, "m", 2, requests=4, prompt_words=5, max_tokens=7, seed=1)
    assert (result.errors, result.requests, result.tok_s) == (4, 0, 0)
    assert result.error is not None


async def test_a_level_adds_up_its_streams(serve) -> None:
    result = await level(await serve([CONTENT, LAST, USAGE]), "m", 3, requests=6, prompt_words=5, max_tokens=7, seed=1)
    assert (result.requests, result.errors, result.tokens) == (6, 0, 42)
