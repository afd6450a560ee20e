"""A prompt that is too long, in the words by which OpenAI's clients know it: each looks for another part of them."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from fakes.serving import MODEL, Serving

from mlx_serve.daemon.errors import RequestRejected

ADVICE = "shorten the input, or use a model with a longer context"
HI = [{"role": "user", "content": "hi"}]
ASKED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": HI},
    "/v1/completions": {"prompt": "hi"},
    "/v1/responses": {"input": "hi"},
}
READERS = {
    "litellm": r"(?i)this model's maximum context length is",
    "langchain-openai": r"prompt is too long",
    "langchain-openai, in a stream": r"exceeds the context window",
    "Qwen Code": r"(?i)maximum context length is\s*64\s*tokens?[\s\S]*?(?:resulted in|requested|used)\s*70\s*tokens?",
    "Continue": r"maximum context length is 64 tokens",
    "pi": r"(?i)maximum context length is \d+ tokens",
    "a person": ADVICE,
}


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_each_client_knows_it(serving: Serving, client: httpx.AsyncClient, path: str, stream: bool) -> None:
    sentence = f"input length (70 tokens) exceeds the model's maximum context length (64 tokens): {ADVICE}"
    serving.engine.script = lambda _: [RequestRejected("context_length_exceeded", sentence, "messages", (70, 64))]
    answer = await client.post(path, json={"model": MODEL, "stream": stream, **ASKED[path]})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "context_length_exceeded" and error["type"] == "invalid_request_error"
    for reader, words in READERS.items():
        assert re.search(words, error["message"]), f"{reader} does not know {error['message']!r}"


async def test_ollamas_own_words(serving: Serving, client: httpx.AsyncClient) -> None:
    sentence = "input length (70 tokens) exceeds the model's maximum context length (64 tokens)"
    serving.engine.script = lambda _: [RequestRejected("context_length_exceeded", sentence, "messages", (70, 64))]
    answer = await client.post("/api/chat", json={"model": MODEL, "messages": HI})
    assert (answer.status_code, json.loads(answer.content)) == (400, {"error": sentence})
