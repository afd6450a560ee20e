"""Answers fit OpenAI's published schema: its own client's models take them in pydantic's strict mode, where nothing is
converted, and what they have beyond it is what we say that we add. The ids of `/v1/models` work as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest
from openai.types import Completion, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from support.live_daemon import LiveDaemon

from mlx_serve.store.store import Store

ADDED = {"reasoning", "reasoning_content", "capabilities", "context_length"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
HI = [{"role": "user", "content": "Why is the sky blue?"}]
CHATS: dict[str, dict[str, Any]] = {
    "plain": {},
    "several": {"n": 2, "stop": ["."]},
    "log-probabilities": {"logprobs": True, "top_logprobs": 3},
    "tools": {"tools": [TOOL], "tool_choice": "required"},
    "a thought": {"reasoning_effort": "low"},
    "a schema": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    },
    "a tier": {"service_tier": "flex"},
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    directory = tmp_path_factory.mktemp("strict") / "models"
    store = Store.open(directory)
    for name in ("starter", "starter-embed"):
        store.pull(name)
    store.copy("starter", "second")
    with LiveDaemon(directory, engine_context_length=4096) as running:
        yield running.ready()


def extras(model: pydantic.BaseModel) -> set[str]:
    """The fields that OpenAI's models do not have, in all of an answer."""
    found = set(model.model_extra or ())
    waiting: list[Any] = [getattr(model, name) for name in type(model).model_fields]
    while waiting:
        value = waiting.pop()
        if isinstance(value, pydantic.BaseModel):
            found |= extras(value)
        elif isinstance(value, list):
            waiting += value
    return found


def fits(kind: type[pydantic.BaseModel], document: Any) -> Any:
    made = kind.model_validate_json(json.dumps(document), strict=True)
    assert extras(made) <= ADDED
    return made


@pytest.mark.parametrize("asked", CHATS.values(), ids=CHATS.keys())
def test_chats_and_their_chunks(daemon: LiveDaemon, asked: dict[str, Any]) -> None:
    body = {"model": "starter", "messages": HI, "max_tokens": 24} | asked
    whole = daemon.post("/v1/chat/completions", **body)
    assert whole.status == 200, whole.body
    assert fits(ChatCompletion, whole.json).usage.prompt_tokens
    stream = daemon.stream("/v1/chat/completions", **body, stream_options={"include_usage": True}).rest()
    chunks = [fits(ChatCompletionChunk, record) for record in stream.records if record != "[DONE]"]
    assert len(chunks) > 2 and chunks[-1].usage.total_tokens and not chunks[-1].choices


@pytest.mark.parametrize("asked", [{}, {"logprobs": 2}, {"echo": True}, {"n": 2, "best_of": 2}])
def test_completions_and_their_chunks(daemon: LiveDaemon, asked: dict[str, Any]) -> None:
    body = {"model": "starter", "prompt": "The sky is", "max_tokens": 4} | asked
    whole = daemon.post("/v1/completions", **body)
    assert whole.status == 200, whole.body
    fits(Completion, whole.json)
    stream = daemon.stream("/v1/completions", **body).rest()
    records = [record for record in stream.records if record != "[DONE]"]
    for record in records:
        # The models have none for chunks, in which OpenAI's API itself says null until the last.
        fits(Completion, record | {"choices": [{**each, "finish_reason": "stop"} for each in record["choices"]]})
    reasons = [choice["finish_reason"] for record in records for choice in record["choices"]]
    assert reasons.count("length") == asked.get("n", 1) and set(reasons) == {None, "length"}


def test_embeddings(daemon: LiveDaemon) -> None:
    answer = daemon.post("/v1/embeddings", model="starter-embed", input=["blue", "green"])
    assert len(fits(CreateEmbeddingResponse, answer.json).data) == 2


def test_every_id_of_the_list_works_as_it_is_and_has_its_context(daemon: LiveDaemon) -> None:
    """The settings limit starter's context of 8192 to 4096, and a model's own `num_ctx` further."""
    made = {"from": "starter", "parameters": {"num_ctx": 1024}, "stream": False}
    assert daemon.post("/api/create", model="short", **made).status == 200
    listed = daemon.get("/v1/models").json
    assert listed["object"] == "list" and set(listed) == {"object", "data"}
    cards = {card["id"]: fits(Model, card) for card in listed["data"]}
    lengths = {identity.rpartition("/")[2]: card.model_extra["context_length"] for identity, card in cards.items()}
    assert lengths["starter"] == lengths["second"] == 4096 and lengths["short"] == 1024
    for identity, card in cards.items():
        assert daemon.get(f"/v1/models/{identity}").json == card.to_dict() | {"id": identity}
        embeds = "embedding" in card.model_extra["capabilities"]
        if embeds:
            assert daemon.post("/v1/embeddings", model=identity, input="a").status == 200
            continue
        answer = daemon.chat(identity, "hi", max_tokens=1)
        assert answer.status == 200 and answer.json["model"] == identity
        context = card.model_extra["context_length"]
        long = daemon.complete(identity, [5] * (context + 1), max_tokens=1)
        assert long.status == 400 and long.error["code"] == "context_length_exceeded"
        assert str(context) in long.error["message"]
