"""Who waits for a model that is pulled or loaded is sent signs of life, and then the model's answer or the failure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

import httpx
import ollama
import openai
import pytest
from fakes.serving import MODEL, Serving, daemon, raw
from support.waiting import GUARD, soon

from mlx_serve.handlers import stream as streams
from mlx_serve.store.errors import AccessDenied, RepositoryNotFound

MESSAGES = [{"role": "user", "content": "hi"}]
OPENAI = ["/v1/chat/completions", "/v1/completions"]
OLLAMA = ["/api/chat", "/api/generate"]
DENIED = AccessDenied("acme/gated is gated", hint="accept its terms, then set HF_TOKEN")


def body(**more: object) -> dict[str, object]:
    return {"model": MODEL, "messages": MESSAGES, "prompt": "hi"} | more


@pytest.fixture
async def loading(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Serving]:
    """A daemon whose model comes only when the test says so, and that gives a sign every few milliseconds."""
    monkeypatch.setattr(streams, "HEAD_SECONDS", 0.005)
    monkeypatch.setattr(streams, "PING_SECONDS", 0.005)
    serving.residency.hold_load = asyncio.Event()
    yield serving
    serving.residency.hold_load.set()


async def test_sse_clients_get_chunks_that_add_nothing(loading: Serving) -> None:
    """The head comes with the first; afterwards the answer is what it always is."""
    for path in OPENAI:
        reader, writer = await raw(loading, path, body(stream=True))
        head = await soon(reader.readuntil(b"}\n\n"))
        assert head.startswith(b"HTTP/1.1 200") and b"text/event-stream" in head
        choice = json.loads((await soon(reader.readuntil(b"}\n\n"))).partition(b"data: ")[2])["choices"][0]
        assert (choice["delta"]["content"] if "chat" in path else choice["text"]) == ""
        assert loading.residency.hold_load is not None
        loading.residency.hold_load.set()
        rest = await soon(reader.readuntil(b"0\r\n\r\n"))
        writer.close()
        assert rest.count(b"[DONE]") == 1 and b"HTTP/1.1" not in rest
        loading.residency.hold_load.clear()


@pytest.mark.parametrize("path", OLLAMA)
async def test_ndjson_clients_get_lines_that_add_nothing(loading: Serving, path: str) -> None:
    reader, writer = await raw(loading, path, body())
    await soon(reader.readuntil(b'"done":false}\n'))
    line = json.loads((await soon(reader.readuntil(b'"done":false}\n'))).split(b"\r\n")[-1])
    assert line["model"] == MODEL and line["created_at"].endswith("Z")
    assert (line["message"]["content"] if path == "/api/chat" else line["response"]) == ""
    writer.close()


@pytest.mark.parametrize("path", [*OPENAI, *OLLAMA])
async def test_who_wants_one_document_just_waits(loading: Serving, path: str) -> None:
    async with httpx.AsyncClient(base_url=loading.url, trust_env=False, verify=False) as client:
        asked = asyncio.create_task(client.post(path, json=body(stream=False)))
        await asyncio.sleep(0.03)
        assert not asked.done() and loading.residency.hold_load is not None
        loading.residency.hold_load.set()
        answer = await asked
        assert answer.status_code == 200 and "Hello world" in answer.text


@pytest.mark.parametrize("path", [*OPENAI, *OLLAMA])
async def test_a_failure_before_the_first_sign_has_its_status(serving: Serving, path: str) -> None:
    serving.residency.late_failure = RepositoryNotFound("there is no acme/none on the hub")
    async with httpx.AsyncClient(base_url=serving.url, trust_env=False, verify=False) as client:
        answer = await client.post(path, json=body(stream=True))
    assert answer.status_code == 404 and "there is no acme/none" in answer.text


@pytest.mark.parametrize("path", [*OPENAI, *OLLAMA])
async def test_a_failure_after_the_first_sign_is_the_last_record(loading: Serving, path: str) -> None:
    """In the dialect of the path, and the body ends after it."""
    reader, writer = await raw(loading, path, body(stream=True))
    await soon(reader.readuntil(b"\n\n" if path in OPENAI else b"}\n"))
    loading.residency.late_failure = DENIED
    assert loading.residency.hold_load is not None
    loading.residency.hold_load.set()
    text = (await soon(reader.read())).decode()
    writer.close()
    last = json.loads([line for line in text.splitlines() if "{" in line][-1].removeprefix("data: "))
    message = last["error"]["message"] if path in OPENAI else last["error"]
    assert message == "acme/gated is gated; accept its terms, then set HF_TOKEN"
    assert "[DONE]" not in text and text.endswith("0\r\n\r\n")


@pytest.mark.parametrize("path", [*OPENAI, *OLLAMA])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_may_hang_up_while_it_waits(loading: Serving, path: str, stream: bool) -> None:
    reader, writer = await raw(loading, path, body(stream=stream))
    async with asyncio.timeout(GUARD):
        while loading.residency.leases == 0:
            await asyncio.sleep(0.001)
        if stream:
            await reader.readline()
    writer.transport.abort()
    await loading.left()


@pytest.mark.parametrize("path", [*OPENAI, *OLLAMA])
async def test_the_request_timeout_holds_for_the_wait(
    path: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With signs on their way the timeout is a record."""
    monkeypatch.setattr(streams, "HEAD_SECONDS", 0.005)
    monkeypatch.setattr(streams, "PING_SECONDS", 0.005)
    async with daemon(tmp_path_factory.mktemp("daemon"), request_timeout_seconds=0.5) as serving:
        serving.residency.hold_load = asyncio.Event()
        reader, writer = await raw(serving, path, body(stream=True))
        text = (await soon(reader.read())).decode()
        writer.close()
        assert text.startswith("HTTP/1.1 200")
        assert "request_timeout_seconds" in [line for line in text.splitlines() if "{" in line][-1]
        assert serving.residency.leases == 0


async def test_the_official_openai_client_reads_over_the_signs(loading: Serving) -> None:
    http = httpx.AsyncClient(trust_env=False, verify=False)
    async with openai.AsyncOpenAI(base_url=f"{loading.url}/v1", api_key="x", max_retries=0, http_client=http) as client:
        stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)  # type: ignore[call-overload]
        assert loading.residency.hold_load is not None
        loading.residency.hold_load.set()
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello world"
        loading.residency.hold_load.clear()
        stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)  # type: ignore[call-overload]
        loading.residency.late_failure = DENIED
        loading.residency.hold_load.set()
        with pytest.raises(openai.APIError, match="is gated"):
            _ = [chunk async for chunk in stream]


async def test_the_official_ollama_client_reads_over_the_signs(loading: Serving) -> None:
    client = ollama.AsyncClient(host=loading.url, verify=False)
    hold = loading.residency.hold_load
    assert hold is not None
    parts = []
    async for part in await client.chat(model=MODEL, messages=MESSAGES, stream=True):
        parts.append(part)
        hold.set()
    assert parts[0].message.content == "" and not parts[0].done and parts[-1].done
    assert "".join(part.message.content or "" for part in parts) == "Hello world"
    hold.clear()
    loading.residency.late_failure = DENIED
    with pytest.raises(ollama.ResponseError, match="is gated"):
        async for _ in await client.generate(model=MODEL, prompt="x", stream=True):
            hold.set()
    await client._client.aclose()


async def test_a_prompt_that_is_only_rendered_may_come_after_signs(loading: Serving) -> None:
    reader, writer = await raw(loading, "/api/chat", body(_debug_render_only=True))
    await soon(reader.readuntil(b'"done":false}\n'))
    assert loading.residency.hold_load is not None
    loading.residency.hold_load.set()
    rest = await soon(reader.readuntil(b"0\r\n\r\n"))
    writer.close()
    assert b'"rendered_template":"<rendered>"' in rest
