"""The official `openai` and `ollama` packages against the real HTTP layer."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
import ollama
import openai
import pytest
from fakes.engine import finished, says
from fakes.serving import MODEL, Serving

from mlx_serve.daemon.errors import QueueFull, RunnerDied
from mlx_serve.daemon.protocol import Delta, ToolCall

HI = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def gpt(serving: Serving) -> AsyncGenerator[openai.AsyncOpenAI]:
    http = httpx.AsyncClient(trust_env=False, verify=False)
    async with openai.AsyncOpenAI(
        base_url=f"{serving.url}/v1", api_key="none", max_retries=0, http_client=http
    ) as client:
        yield client


@pytest.fixture
async def llama(serving: Serving) -> AsyncGenerator[ollama.AsyncClient]:
    client = ollama.AsyncClient(host=serving.url, verify=False)
    yield client
    await client._client.aclose()


async def test_openai_chat(gpt: openai.AsyncOpenAI) -> None:
    """Whole and streamed answers, usage at the end of the stream."""
    whole = await gpt.chat.completions.create(model=MODEL, messages=HI, n=2, stop=["x"])  # type: ignore[call-overload]
    assert [c.message.content for c in whole.choices] == ["Hello world"] * 2 and whole.usage.total_tokens == 15
    stream = await gpt.chat.completions.create(  # type: ignore[call-overload]
        model=MODEL, messages=HI, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello world"
    assert chunks[-1].usage.completion_tokens == 4


async def test_openai_completions_and_models(gpt: openai.AsyncOpenAI) -> None:
    assert (await gpt.completions.create(model=MODEL, prompt="x")).choices[0].text == "Hello world"
    assert [model.id async for model in gpt.models.list()] == [MODEL, "acme/vectors"]
    assert (await gpt.models.retrieve(MODEL)).id == MODEL


async def test_openai_errors(serving: Serving, gpt: openai.AsyncOpenAI) -> None:
    """Statuses become the package's own exceptions, in the middle of a stream too."""
    with pytest.raises(openai.NotFoundError) as unknown:
        await gpt.chat.completions.create(model="none", messages=HI)  # type: ignore[call-overload]
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as wrong:
        await gpt.chat.completions.create(model=MODEL, messages=HI, temperature=3)  # type: ignore[call-overload]
    assert wrong.value.param == "temperature"
    serving.engine.script = says(Delta(id=1, text="a"), RunnerDied(MODEL, "signal 9"))
    stream = await gpt.chat.completions.create(model=MODEL, messages=HI, stream=True)  # type: ignore[call-overload]
    with pytest.raises(openai.APIError, match="ended unexpectedly"):
        _ = [chunk async for chunk in stream]
    serving.residency.failure = QueueFull(3)
    with pytest.raises(openai.InternalServerError) as busy:
        await gpt.chat.completions.create(model=MODEL, messages=HI)  # type: ignore[call-overload]
    assert busy.value.status_code == 503 and busy.value.response.headers["retry-after"] == "3"


async def test_openai_tool_calls(serving: Serving, gpt: openai.AsyncOpenAI) -> None:
    serving.engine.script = says(
        Delta(id=1, tool_calls=(ToolCall(name="f", arguments='{"x":1}'),)), finished("tool_calls")
    )
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    async with gpt.chat.completions.stream(model=MODEL, messages=HI, tools=tools) as stream:  # type: ignore[arg-type]
        final = await stream.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"x":1}'  # type: ignore[index]


async def test_ollama_chat_and_generate(llama: ollama.AsyncClient) -> None:
    chat = await llama.chat(model="parrot", messages=HI)
    assert chat.message.content == "Hello world" and chat.done_reason == "stop" and chat.eval_count == 4
    parts = [part async for part in await llama.chat(model="parrot", messages=HI, stream=True, keep_alive="5m")]
    assert "".join(part.message.content or "" for part in parts) == "Hello world" and parts[-1].done
    text = [part async for part in await llama.generate(model="parrot", prompt="x", stream=True)]
    assert "".join(part.response for part in text) == "Hello world" and text[-1].context == [1, 2, 3]


async def test_ollama_tools(serving: Serving, llama: ollama.AsyncClient) -> None:
    """Tools from a Python function, arguments back as a mapping."""
    serving.engine.script = says(
        Delta(id=1, tool_calls=(ToolCall(name="add", arguments='{"a":1}'),)), finished("tool_calls")
    )

    def add(a: int) -> int:
        """Add.

        Args:
            a: a number
        """
        return a

    calls = (await llama.chat(model="parrot", messages=HI, tools=[add])).message.tool_calls
    assert calls is not None and calls[0].function.arguments == {"a": 1}
    assert serving.engine.requests[0].prompt.tools[0]["function"]["name"] == "add"  # type: ignore[union-attr]


async def test_ollama_models(serving: Serving, llama: ollama.AsyncClient) -> None:
    assert [model.model for model in (await llama.list()).models] == ["acme/parrot:latest", "acme/vectors:latest"]
    await serving.residency.load(serving.store.find("parrot"))
    assert (await llama.ps()).models[0].size_vram == 0
    assert (await llama.show("parrot")).modelinfo["qwen3.context_length"] == 4096  # type: ignore[index]
    assert (await llama.copy("parrot", "acme/b")).status == "success"
    assert (await llama.delete("acme/b")).status == "success"
    assert (await llama.pull("starter")).status == "success"
    assert [p.status async for p in await llama.pull("starter", stream=True)][-1] == "success"


async def test_ollama_errors(serving: Serving, llama: ollama.AsyncClient) -> None:
    with pytest.raises(ollama.ResponseError, match="model 'none' not found") as unknown:
        await llama.chat(model="none", messages=HI)
    assert unknown.value.status_code == 404
    serving.engine.script = says(Delta(id=1, text="a"), RunnerDied(MODEL, "signal 9"))
    with pytest.raises(ollama.ResponseError, match="ended unexpectedly"):
        _ = [part async for part in await llama.chat(model="parrot", messages=HI, stream=True)]
