"""A budget of thought in Ollama's dialect: beside `options` or in them, of a request or of a created model."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fakes.serving import MODEL, Serving

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
GENERATE = {"model": MODEL, "prompt": "hi"}


@pytest.mark.parametrize(("path", "body"), [("/api/chat", CHAT), ("/api/generate", GENERATE)])
async def test_it_reaches_the_engine(
    serving: Serving, client: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    """The field counts before the option; without either there is none."""
    for more, budget in (
        ({"thinking_budget": 9}, 9),
        ({"options": {"thinking_budget": 7}}, 7),
        ({"thinking_budget": 0, "options": {"thinking_budget": 7}}, 0),
        ({}, None),
    ):
        answer = await client.post(path, json=body | more)
        assert answer.status_code == 200, answer.text
        assert serving.engine.requests[-1].prompt.thinking_budget == budget  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("/api/chat", CHAT | {"thinking_budget": -1}, "thinking_budget"),
        ("/api/chat", CHAT | {"options": {"thinking_budget": -1}}, "thinking_budget"),
        ("/api/chat", CHAT | {"options": {"thinking_budget": "many"}}, "thinking_budget"),
        ("/api/generate", GENERATE | {"thinking_budget": 5, "raw": True}, "leave raw, context and suffix out"),
        ("/api/generate", GENERATE | {"thinking_budget": 5, "context": [1]}, "leave raw, context and suffix out"),
    ],
)
async def test_what_is_refused(client: httpx.AsyncClient, path: str, body: dict[str, Any], why: str) -> None:
    answer = await client.post(path, json=body)
    assert answer.status_code == 400 and why in answer.json()["error"]


async def test_a_model_that_cannot_think(serving: Serving, client: httpx.AsyncClient) -> None:
    """Is not loaded for it."""
    serving.store.add("acme/parrot", capabilities=("completion",))
    for more in ({"thinking_budget": 5}, {"options": {"thinking_budget": 5}}):
        answer = await client.post("/api/chat", json=CHAT | {"model": "parrot"} | more)
        assert (answer.status_code, answer.json()) == (400, {"error": '"parrot" does not support thinking'})
    assert serving.residency.loaded == []
