"""The user's settings of one model under requests of every dialect: the request's own words come first, then these,
then what the model was created with."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fakes.serving import MODEL, Serving
from fakes.store import installed

from mlx_serve.daemon.protocol import ChatPrompt, Generate
from mlx_serve.daemon.reload.model_defaults import defaults
from mlx_serve.daemon.settings.one_model import OneModel
from mlx_serve.store.disk.manifests import Overrides

CHAT = {"messages": [{"role": "user", "content": "hi"}]}
BODIES: dict[str, dict[str, Any]] = {
    "/api/chat": CHAT,
    "/api/generate": {"prompt": "hi"},
    "/v1/chat/completions": CHAT,
    "/v1/responses": {"input": "hi"},
    "/v1/messages": CHAT | {"max_tokens": 50},
    "/v1/completions": {"prompt": "hi"},
}
OWN: dict[str, dict[str, Any]] = {
    "/api/chat": {
        "messages": [{"role": "system", "content": "Mine."}, *CHAT["messages"]],
        "options": {"temperature": 1},
    },
    "/api/generate": {"system": "Mine.", "options": {"temperature": 1}},
    "/v1/chat/completions": {
        "messages": [{"role": "developer", "content": "Mine."}, *CHAT["messages"]],
        "temperature": 1,
    },
    "/v1/responses": {"instructions": "Mine.", "temperature": 1},
    "/v1/messages": {"system": "Mine.", "temperature": 1},
    "/v1/completions": {"temperature": 1},
}
SET = OneModel(
    system="Be brief.", temperature=0, top_k=7, penalty_window=0, max_tokens=9, stop=("END",), context_length=64, seed=3
)


def say(serving: Serving, one: OneModel) -> None:
    serving.store.configure({}, defaults({MODEL: one}))


async def asked(serving: Serving, client: httpx.AsyncClient, path: str, **body: Any) -> Generate:
    """What reaches the engine."""
    answer = await client.post(path, json={"model": MODEL, "stream": False} | BODIES[path] | body)
    assert answer.status_code == 200, answer.text
    return serving.engine.requests[-1]


def system(request: Generate) -> list[str]:
    assert isinstance(request.prompt, ChatPrompt)
    return [message["content"] for message in request.prompt.messages if message["role"] == "system"]


@pytest.mark.parametrize("path", BODIES)
async def test_what_a_request_leaves_open_comes_from_the_settings(
    serving: Serving, client: httpx.AsyncClient, path: str
) -> None:
    say(serving, SET)
    request = await asked(serving, client, path)
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_k, sampling.penalty_window, sampling.seed) == (0, 7, 0, 3)
    assert (request.stop, request.context_length) == (("END",), 64)
    assert request.max_tokens == (50 if path == "/v1/messages" else 9)
    if path != "/v1/completions":
        assert system(request) == ["Be brief."]
    own = await asked(serving, client, path, **OWN[path])
    assert (own.sampling.temperature, own.sampling.top_k) == (1, 7)
    if path != "/v1/completions":
        assert system(own) == ["Mine."]
    say(serving, OneModel())
    bare = await asked(serving, client, path)
    assert (bare.sampling.top_k, bare.stop, bare.context_length) == (None, (), None), "and nothing when they are gone"
    assert bare.max_tokens == {"/v1/messages": 50, "/v1/completions": 16}.get(path)


async def test_they_come_before_what_the_model_was_created_with(serving: Serving, client: httpx.AsyncClient) -> None:
    created = Overrides(system="Old.", parameters={"temperature": 0.9, "top_k": 3})
    serving.store.add(MODEL, overrides=created)
    say(serving, OneModel(temperature=0.2))
    request = await asked(serving, client, "/api/chat")
    assert (request.sampling.temperature, request.sampling.top_k, system(request)) == (0.2, 3, ["Old."])
    say(serving, OneModel(system=""))
    assert system(await asked(serving, client, "/api/chat")) == [], "an empty one is none"


async def test_a_budget_of_thoughts_is_for_models_that_think(serving: Serving, client: httpx.AsyncClient) -> None:
    """A model without thoughts would refuse it, and no client has asked for it."""
    say(serving, OneModel(thinking_budget=5))
    request = await asked(serving, client, "/api/chat")
    assert isinstance(request.prompt, ChatPrompt) and request.prompt.thinking_budget == 5
    plain = serving.store.add("acme/plain", capabilities=("completion",))
    serving.store.configure({}, defaults({plain.name.display(): OneModel(thinking_budget=5)}))
    request = await asked(serving, client, "/api/chat", model="acme/plain")
    assert isinstance(request.prompt, ChatPrompt) and request.prompt.thinking_budget is None


async def test_listings_say_the_context_that_holds(serving: Serving, client: httpx.AsyncClient) -> None:
    """`/v1/models`, `/api/ps` and the page; and `/api/show` has parameters and system prompt as requests get them."""
    serving.store.models_by_name[MODEL] = installed(MODEL)
    say(serving, SET)
    card = (await client.get(f"/v1/models/{MODEL}")).json()
    assert card["context_length"] == 64
    shown = (await client.post("/api/show", json={"model": MODEL})).json()
    assert shown["system"] == "Be brief." and "SYSTEM" in shown["modelfile"]
    parameters = dict(line.split(maxsplit=1) for line in shown["parameters"].splitlines())
    assert parameters["temperature"] == "0" and parameters["num_ctx"] == "64" and parameters["stop"] == '"END"'
    notice = await client.post("/v1/chat/completions", json={"model": MODEL, "max_tokens": 100} | CHAT)
    assert "more than the model's context of 64 tokens" in notice.headers["X-MLX-Serve-Notice"]
