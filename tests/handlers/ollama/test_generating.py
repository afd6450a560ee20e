"""/api/generate and /api/chat beyond their plain form: templates, budgets of thought, cuts, loading, pushes."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fakes.engine import finished, speak
from fakes.serving import MODEL, Serving

from mlx_serve.daemon.errors import RequestRejected
from mlx_serve.daemon.protocol import Accepted, ChatPrompt, Event, Generate, TextPrompt

JINJA = "{% for message in messages %}{{ message.content }}{% endfor %}"
PROMPT = {"model": MODEL, "prompt": "hi", "stream": False}
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "stream": False}
LONGER = "the prompt is longer than the context length currently available to the model; shorten the prompt"


async def test_a_template_in_jinja_is_used(serving: Serving, client: httpx.AsyncClient) -> None:
    """In place of the model's own, for the answer's family too where the text is rendered first."""
    assert (await client.post("/api/generate", json=PROMPT | {"template": JINJA})).status_code == 200
    assert (await client.post("/api/generate", json=PROMPT | {"template": JINJA, "context": [5]})).status_code == 200
    first, rendering, text = (request.prompt for request in serving.engine.requests)
    assert isinstance(first, ChatPrompt) and first.template == JINJA
    assert isinstance(rendering, ChatPrompt) and rendering.template == JINJA
    assert isinstance(text, TextPrompt) and text.template == JINJA and text.history == (5,)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ .Prompt }}", "templates must be in Jinja"),
        ("{{ if .System }}x{{ end }}", "templates must be in Jinja"),
        ("{% for %}", "line 1"),
        ("hello", "does not use messages"),
    ],
)
async def test_a_template_that_cannot_be_used_is_refused(
    serving: Serving, client: httpx.AsyncClient, template: str, why: str
) -> None:
    """Go's templates among them; also where nothing but loading is asked for."""
    for body in (PROMPT, {"model": MODEL}):
        answer = await client.post("/api/generate", json=body | {"template": template})
        assert answer.status_code == 400 and why in answer.json()["error"]
    assert serving.engine.requests == [] and serving.residency.loaded == []


@pytest.mark.parametrize("given", [{"thinking_budget": 7}, {"options": {"thinking_budget": 7}}])
@pytest.mark.parametrize(("path", "body"), [("/api/chat", CHAT), ("/api/generate", PROMPT)])
async def test_a_thought_may_have_a_budget(
    serving: Serving, client: httpx.AsyncClient, path: str, body: dict[str, Any], given: dict[str, Any]
) -> None:
    """At the top or among the options; a model that cannot think refuses it."""
    assert (await client.post(path, json=body | given)).status_code == 200
    assert serving.engine.requests[0].prompt.thinking_budget == 7  # type: ignore[union-attr]
    serving.store.add("acme/parrot", capabilities=("completion",))
    refused = await client.post(path, json=body | given)
    assert (refused.status_code, refused.json()) == (400, {"error": f'"{MODEL}" does not support thinking'})


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"thinking_budget": -1}, "thinking_budget"),
        ({"thinking_budget": "x"}, "thinking_budget"),
        ({"options": {"thinking_budget": -1}}, "thinking_budget"),
        ({"raw": True, "thinking_budget": 3}, "thinking_budget"),
        ({"suffix": "x", "thinking_budget": 3}, "thinking_budget"),
        ({"suffix": "x", "template": JINJA}, "template"),
        ({"options": {"num_predict": 1e999}}, "options"),
        ({"options": {"num_predict": 10**400}}, "num_predict"),
        ({"options": {"num_gpu": 10**400}}, "num_gpu"),
        ({"options": {"typical_p": 10**400}}, "typical_p"),
    ],
)
async def test_what_does_not_go_together(client: httpx.AsyncClient, more: dict[str, Any], field: str) -> None:
    body = json.dumps(PROMPT | more).replace("Infinity", "1e999")
    answer = await client.post("/api/generate", content=body)
    assert answer.status_code == 400 and field in answer.json()["error"], answer.text


@pytest.mark.parametrize("more", [{"think": "x"}, {"format": "x"}, {"options": {"top_p": 3}}])
@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_what_only_loads_is_checked_all_the_same(
    serving: Serving, client: httpx.AsyncClient, path: str, more: dict[str, Any]
) -> None:
    answer = await client.post(path, json={"model": MODEL} | more)
    assert answer.status_code == 400 and serving.residency.loaded == []


async def test_without_shift_a_long_prompt_is_an_error(serving: Serving, client: httpx.AsyncClient) -> None:
    """In Ollama's words, with the numbers behind them; with it the prompt is cut."""

    def script(request: Generate) -> list[Event | Exception]:
        if request.render_only or isinstance(request.prompt, TextPrompt):
            return speak(request)
        return [RequestRejected("context_length_exceeded", "input length (9 tokens) exceeds 8")]

    serving.engine.script = script
    cut = await client.post("/api/generate", json=PROMPT)
    assert cut.status_code == 200
    refused = await client.post("/api/generate", json=PROMPT | {"shift": False})
    assert refused.status_code == 400 and refused.json()["error"].startswith(LONGER)
    assert "(9 tokens)" in refused.json()["error"]


async def test_whole_times_of_an_answer(serving: Serving, client: httpx.AsyncClient) -> None:
    """Nanoseconds, and the tokens that were there already as a part of the prompt's."""
    end = finished(cached_tokens=3)
    serving.engine.script = lambda request: [Accepted(id=1, prompt_tokens=7), end]
    answer = (await client.post("/api/generate", json=PROMPT)).json()
    assert (answer["prompt_eval_count"], answer["prompt_eval_cached_count"]) == (7, 3)
    assert answer["total_duration"] > 0 < answer["load_duration"] and answer["eval_duration"] == 500_000_000


async def test_push_is_answered_with_a_sentence(serving: Serving, client: httpx.AsyncClient) -> None:
    for stream in (True, False):
        answer = await client.post("/api/push", json={"model": "parrot", "stream": stream, "insecure": False})
        assert answer.status_code == 400 and "does not push models" in answer.json()["error"]
    unknown = await client.post("/api/push", json={"name": "none"})
    assert (unknown.status_code, unknown.json()) == (404, {"error": "model 'none' not found"})
    assert (await client.post("/api/push", json={})).json() == {"error": "model is required"}
    wrong = await client.post("/api/push", json={"model": "parrot", "insecure": "yes"})
    assert wrong.status_code == 400 and "insecure" in wrong.json()["error"]


async def test_a_copy_is_listed_by_the_name_that_it_was_given(serving: Serving, client: httpx.AsyncClient) -> None:
    """With Ollama's tag there, and without it among OpenAI's; an owner is shown where two share a name."""
    assert (await client.post("/api/copy", json={"source": "parrot", "destination": "foo"})).status_code == 200

    async def listed() -> tuple[set[str], set[str]]:
        tags = (await client.get("/api/tags")).json()["models"]
        cards = (await client.get("/v1/models")).json()["data"]
        return {tag["name"] for tag in tags}, {card["id"] for card in cards}

    assert await listed() == ({"foo:latest", f"{MODEL}:latest", "acme/vectors:latest"}, {"foo", MODEL, "acme/vectors"})
    for name in ("foo", "foo:latest", "local/foo", "FOO"):
        assert (await client.post("/api/chat", json=CHAT | {"model": name})).status_code == 200
        assert (await client.post("/v1/chat/completions", json=CHAT | {"model": name})).status_code == 200
    assert [one["name"] for one in (await client.get("/api/ps")).json()["models"]][:1] != ["local/foo:latest"]
    serving.store.add("acme/foo")
    tags, cards = await listed()
    assert "local/foo:latest" in tags and "local/foo" in cards and "acme/foo" in cards
