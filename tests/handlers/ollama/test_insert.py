"""`suffix` of /api/generate: who may ask for it, with what, and what the engine is asked for."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest
from fakes.serving import MODEL, Serving

from mlx_serve.daemon.protocol import TextPrompt

PATH = "/api/generate"
BODY: dict[str, Any] = {"model": "parrot", "prompt": "a", "suffix": "z", "stream": False}


@pytest.fixture
def inserting(serving: Serving) -> Serving:
    """The model can insert, by its listing and by its engine."""
    can = ("completion", "thinking", "insert")
    serving.store.add(MODEL, capabilities=can)
    serving.residency.info = msgspec.structs.replace(serving.residency.info, capabilities=can)
    return serving


async def test_a_suffix_is_a_prompt_of_text(inserting: Serving, client: httpx.AsyncClient) -> None:
    """No chat template, no thoughts split off, even of a model that has both; too long is cut unless it may not be."""
    for more, prompt in (
        ({}, TextPrompt(text="a", suffix="z", drop_middle=True)),
        ({"prompt": ""}, TextPrompt(text="", suffix="z", drop_middle=True)),
        ({"truncate": False, "think": False}, TextPrompt(text="a", suffix="z")),
    ):
        inserting.engine.requests.clear()
        answer = (await client.post(PATH, json=BODY | more)).json()
        assert (answer["response"], answer["done_reason"], answer["context"]) == ("Hello world", "stop", [1, 2, 3])
        (wanted,) = inserting.engine.requests
        assert wanted.prompt == prompt and not wanted.split_reasoning  # type: ignore[union-attr]


async def test_an_empty_suffix_asks_for_nothing(inserting: Serving, client: httpx.AsyncClient) -> None:
    assert (await client.post(PATH, json=BODY | {"suffix": ""})).status_code == 200
    assert not isinstance(inserting.engine.requests[0].prompt, TextPrompt)  # type: ignore[union-attr]
    loaded = (await client.post(PATH, json=BODY | {"suffix": "", "prompt": ""})).json()
    assert loaded["done_reason"] == "load" and len(inserting.engine.requests) == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"raw": True}, "raw mode does not support suffix"),
        ({"system": "be brief"}, "suffix is not supported together with system"),
        ({"context": [1]}, "suffix is not supported together with context"),
        ({"images": ["AA=="]}, "suffix is not supported together with images"),
        ({"think": True}, "suffix is not supported together with think"),
        ({"think": "low"}, "suffix is not supported together with think"),
        ({"template": "x"}, "'template' is not supported"),
    ],
)
async def test_what_does_not_go_with_suffix(
    inserting: Serving, client: httpx.AsyncClient, more: dict[str, Any], said: str
) -> None:
    response = await client.post(PATH, json=BODY | more)
    assert response.status_code == 400 and response.json()["error"].startswith(said)
    assert inserting.engine.requests == [] and inserting.residency.loaded == []


async def test_a_model_that_cannot(serving: Serving, client: httpx.AsyncClient) -> None:
    """Ollama's words, before a load where the listing says so, after it where the engine does."""
    words = {"error": "acme/parrot:latest does not support insert"}
    refused = await client.post(PATH, json=BODY)
    assert (refused.status_code, refused.json()) == (400, words)
    assert serving.residency.loaded == []
    serving.store.add(MODEL, capabilities=("completion", "insert"))
    refused = await client.post(PATH, json=BODY)
    assert (refused.status_code, refused.json()) == (400, words)
    assert serving.engine.requests == []
    unknown = await client.post(PATH, json=BODY | {"model": "none"})
    assert (unknown.status_code, unknown.json()) == (404, {"error": "model 'none' not found"})


async def test_listings(inserting: Serving, client: httpx.AsyncClient) -> None:
    cards = {card["id"]: card["capabilities"] for card in (await client.get("/v1/models")).json()["data"]}
    tags = {tag["model"]: tag["capabilities"] for tag in (await client.get("/api/tags")).json()["models"]}
    shown = (await client.post("/api/show", json={"model": "parrot"})).json()["capabilities"]
    assert "insert" in cards[MODEL] and "insert" in tags["acme/parrot:latest"] and "insert" in shown
