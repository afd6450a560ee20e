"""A request that the operator cancels: whatever it is doing, its client reads who ended it, as its dialect says it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fakes.engine import finished, says
from fakes.serving import MODEL, Serving, raw
from support.waiting import soon, until

from mlx_serve.daemon.protocol import Delta
from mlx_serve.daemon.requests.open_request import OpenRequest

SENTENCE = "the request was cancelled by the operator of this server"
PROMPT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "prompt": "hi"}
TEXTS: dict[str, Any] = {"input": ["a", "b"], "prompt": "a", "query": "a", "documents": ["a", "b"]}
GENERATING = {
    "/v1/chat/completions": PROMPT,
    "/v1/completions": PROMPT,
    "/api/chat": PROMPT,
    "/api/generate": PROMPT,
    "/v1/responses": {"model": MODEL, "input": "hi"},
    "/v1/messages": PROMPT | {"max_tokens": 9},
}
RETRIEVAL = {
    "/v1/embeddings": {"model": "acme/vectors"} | TEXTS,
    "/api/embed": {"model": "acme/vectors"} | TEXTS,
    "/api/embeddings": {"model": "acme/vectors"} | TEXTS,
    "/v1/rerank": {"model": "acme/ranks"} | TEXTS,
}


@pytest.fixture(autouse=True)
def a_reranker(serving: Serving) -> None:
    serving.store.add("acme/ranks", kind="reranker")


def told(path: str, document: dict[str, Any]) -> str:
    """The sentence of an error, in the form that the endpoint's dialect gives it."""
    if path == "/v1/messages":
        assert (document["type"], document["error"]["type"]) == ("error", "api_error")
        return str(document["error"]["message"])
    if document.get("type") == "response.failed":  # whose codes are a fixed set
        assert document["response"]["error"]["code"] == "invalid_prompt", "after any other one, clients ask again"
        return str(document["response"]["error"]["message"])
    if path.startswith("/api"):
        assert set(document) == {"error"}
        return str(document["error"])
    assert document["error"]["code"] == "cancelled"
    return str(document["error"]["message"])


async def the_one(serving: Serving, state: Callable[[OpenRequest], bool]) -> OpenRequest:
    """The request that is open, as soon as it is in such a state."""
    await until(lambda: any(state(request) for request in serving.context.requests.all()))
    (request,) = serving.context.requests.all()
    return request


@pytest.mark.parametrize("path", [*GENERATING, *RETRIEVAL])
async def test_an_answer_that_is_not_streamed_is_a_499(serving: Serving, client: httpx.AsyncClient, path: str) -> None:
    """Nothing of it has been sent; the engine's work, the lease and the entry are gone, and the next request works."""
    body = (GENERATING | RETRIEVAL)[path] | {"stream": False}
    serving.engine.hold, serving.engine.hold_at = asyncio.Event(), 1
    asking = asyncio.create_task(client.post(path, json=body, headers={"X-Request-ID": "mine"}))
    await soon(serving.engine.opened.get())
    await the_one(serving, lambda request: request.id == "mine" and request.submitted is not None)
    assert serving.context.requests.cancel("mine") == 1
    answer = await soon(asking)
    assert (answer.status_code, told(path, answer.json())) == (499, SENTENCE)
    assert answer.headers["x-request-id"] == "mine"
    await serving.left()
    assert serving.context.requests.all() == []
    serving.engine.hold = None
    assert (await client.post(path, json=body)).status_code == 200


@pytest.mark.parametrize("path", GENERATING)
async def test_a_stream_ends_with_an_error_record(serving: Serving, path: str) -> None:
    """What was said before stays said; no sign of a good end follows."""
    serving.engine.hold = asyncio.Event()
    reader, writer = await raw(serving, path, GENERATING[path] | {"stream": True})
    await soon(reader.readuntil(b"Hel"))
    request = await the_one(serving, lambda request: request.state == "decoding")
    request.cancel()
    text = (await soon(reader.read())).decode()
    writer.close()
    record = [line for line in text.splitlines() if "{" in line][-1]
    assert told(path, json.loads(record.removeprefix("data: "))) == SENTENCE
    assert "[DONE]" not in text and '"done":true' not in text
    await serving.left()


@pytest.mark.parametrize("path", [*GENERATING, *RETRIEVAL])
@pytest.mark.parametrize("loading", [True, False])
async def test_hanging_up_cancels_too(serving: Serving, path: str, loading: bool) -> None:
    """While its model is loaded, or works: the lease and the entry are gone, and no work is left in the engine."""
    serving.residency.hold_load = asyncio.Event() if loading else None
    serving.engine.hold, serving.engine.hold_at = asyncio.Event(), 1
    _, writer = await raw(serving, path, (GENERATING | RETRIEVAL)[path] | {"stream": False})
    await the_one(serving, lambda request: request.state == "loading" if loading else request.submitted is not None)
    writer.transport.abort()
    await serving.left()
    await until(lambda: serving.context.requests.all() == [])


@pytest.mark.parametrize("path", [*GENERATING, *RETRIEVAL])
async def test_who_waits_for_a_load_can_be_cancelled(serving: Serving, client: httpx.AsyncClient, path: str) -> None:
    serving.residency.hold_load = asyncio.Event()
    asking = asyncio.create_task(client.post(path, json=(GENERATING | RETRIEVAL)[path] | {"stream": False}))
    request = await the_one(serving, lambda request: request.state == "loading")
    assert request.model in (MODEL, "acme/vectors", "acme/ranks") and request.submitted is None
    request.cancel()
    answer = await soon(asking)
    assert (answer.status_code, told(path, answer.json())) == (499, SENTENCE)
    await serving.left()


async def test_a_client_that_reads_nothing_is_cancelled_too(serving: Serving) -> None:
    """Its handler waits for the socket and not for the engine."""
    serving.engine.script = says(*[Delta(id=1, text="x" * 60_000 + str(i)) for i in range(400)], finished())
    _, writer = await raw(serving, "/api/chat", PROMPT)
    request = await the_one(serving, lambda request: request.state == "decoding")
    request.cancel()
    await until(lambda: not serving.residency.leases)
    writer.transport.abort()
    await serving.left()


async def test_states_and_tokens_are_told_as_they_come(serving: Serving) -> None:
    """Two choices: the prompt counts once, what they said counts together."""
    serving.engine.hold, serving.engine.hold_at = asyncio.Event(), 3
    reader, writer = await raw(serving, "/v1/chat/completions", PROMPT | {"stream": True})
    await soon(reader.readuntil(b"lo"))
    request = await the_one(serving, lambda request: request.generated_tokens == 2)
    assert (request.endpoint, request.model, request.prompt_tokens) == ("/v1/chat/completions", MODEL, 7)
    assert request.client.startswith("127.0.0.1:") and request.state == "decoding"
    assert request.queue_seconds is not None and 0 <= request.queue_seconds <= request.age
    serving.engine.hold.set()
    await soon(reader.readuntil(b"[DONE]"))
    writer.close()
    await until(lambda: serving.context.requests.all() == [])


async def test_a_cancel_does_not_reach_the_next_request_of_a_connection(serving: Serving) -> None:
    """The connection of a request that was cancelled before its head goes on."""
    async with httpx.AsyncClient(base_url=serving.url, trust_env=False, verify=False) as client:
        for _ in range(3):
            serving.engine.hold = asyncio.Event()
            asking = asyncio.create_task(client.post("/api/chat", json=PROMPT | {"stream": False}))
            (await the_one(serving, lambda request: request.submitted is not None)).cancel()
            assert (await soon(asking)).status_code == 499
            serving.engine.hold = None
            assert (await client.post("/api/chat", json=PROMPT | {"stream": False})).status_code == 200


async def test_a_client_that_hangs_up_at_the_same_moment_is_no_error(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    serving.engine.hold = asyncio.Event()
    reader, writer = await raw(serving, "/api/chat", PROMPT)
    await soon(reader.readuntil(b"Hel"))
    request = await the_one(serving, lambda request: request.state == "decoding")
    request.cancel()
    writer.transport.abort()
    await serving.left()
    await until(lambda: serving.context.open_requests == 0)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_two_requests_may_have_one_id(serving: Serving, client: httpx.AsyncClient) -> None:
    """A client chooses it; both end."""
    serving.engine.hold = asyncio.Event()
    body, header = PROMPT | {"stream": False}, {"X-Request-ID": "same"}
    asking = [asyncio.create_task(client.post("/api/chat", json=body, headers=header)) for _ in range(2)]
    await until(lambda: sum(request.submitted is not None for request in serving.context.requests.all()) == 2)
    assert serving.context.requests.cancel("same") == 2
    assert [answer.status_code for answer in await asyncio.gather(*asking)] == [499, 499]
