"""Pictures in /api/chat and /api/generate: before the text, in base64, and with what they cannot go together."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fakes.serving import MODEL, Serving
from support.sent_pictures import SEEING, data_url, encoded, png, seeing, text

from mlx_serve.daemon.errors import RequestRejected
from mlx_serve.daemon.protocol import ChatPrompt, Generate

RED, BLUE = png("red"), png("blue")


def asked(serving: Serving) -> tuple[Generate, ChatPrompt]:
    work = serving.engine.requests[-1]
    assert isinstance(work, Generate) and isinstance(work.prompt, ChatPrompt)
    return work, work.prompt


async def refused(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> str:
    response = await client.post(path, json=body)
    assert response.status_code == 400, response.text
    error: str = response.json()["error"]
    return error


@pytest.mark.parametrize("stream", [False, True])
async def test_chat_has_pictures_before_the_text(serving: Serving, client: httpx.AsyncClient, stream: bool) -> None:
    seeing(serving)
    messages = [
        {"role": "user", "content": "which?", "images": [encoded(RED), data_url(BLUE)]},
        {"role": "assistant", "content": "both", "images": []},
        {"role": "tool", "content": "", "images": [encoded(RED)]},
        {"role": "user", "content": "sure?", "images": None},
    ]
    response = await client.post("/api/chat", json={"model": SEEING, "messages": messages, "stream": stream})
    assert response.status_code == 200, response.text
    prompt = asked(serving)[1]
    image = {"type": "image"}
    contents = [message["content"] for message in prompt.messages]
    assert contents == [[image, image, text("which?")], "both", [image], "sure?"]
    assert [(each.data, each.param) for each in prompt.pictures] == [
        (RED, "messages[0].images[0]"),
        (BLUE, "messages[0].images[1]"),
        (RED, "messages[2].images[0]"),
    ]


async def test_generate_has_pictures_before_the_prompt(serving: Serving, client: httpx.AsyncClient) -> None:
    """No `context` comes back: token ids say nothing of the pictures."""
    seeing(serving)
    body = {"model": SEEING, "prompt": "what?", "system": "be brief", "images": [encoded(RED)], "stream": False}
    answer = (await client.post("/api/generate", json=body)).json()
    assert answer["done"] and "context" not in answer
    work, prompt = asked(serving)
    assert [message["content"] for message in prompt.messages] == ["be brief", [{"type": "image"}, text("what?")]]
    assert [each.param for each in prompt.pictures] == ["images[0]"] and not work.want_context


async def test_generate_looks_at_a_picture_without_a_prompt(serving: Serving, client: httpx.AsyncClient) -> None:
    seeing(serving)
    await client.post("/api/generate", json={"model": SEEING, "images": [encoded(RED)], "stream": False})
    assert asked(serving)[1].messages[0]["content"] == [{"type": "image"}]


async def test_a_prompt_with_pictures_is_never_cut(serving: Serving, client: httpx.AsyncClient) -> None:
    """Too long is an error, asked once: a cut text would have lost its pictures."""
    seeing(serving)
    serving.engine.script = lambda _: [RequestRejected("context_length_exceeded", "9 > 5")]
    body = {"model": SEEING, "prompt": "x", "images": [encoded(RED)]}
    assert "9 > 5" in await refused(client, "/api/generate", body)
    assert len(serving.engine.requests) == 1


async def test_no_images_are_nothing(serving: Serving, client: httpx.AsyncClient) -> None:
    """Clients send an empty list with every message, to every model."""
    messages = [{"role": "system", "content": "a", "images": []}, {"role": "user", "content": "b", "images": []}]
    assert (await client.post("/api/chat", json={"model": MODEL, "messages": messages})).status_code == 200
    assert (
        await client.post("/api/generate", json={"model": MODEL, "prompt": "x", "images": [], "raw": True})
    ).status_code == 200


CHAT = "/api/chat"
GENERATE = "/api/generate"


def said(role: str = "user", *images: str) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": "x", "images": list(images)}]}


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (CHAT, said("user", ""), "'messages[0].images[0]': it is empty"),
        (CHAT, said("user", encoded(RED), "*"), "'messages[0].images[1]': it is not valid base64"),
        (CHAT, said("user", "https://example.com/a.png"), "URLs are not fetched here"),
        (CHAT, said("user", "data:text/plain;base64,AAAA"), "media type is not a picture's"),
        (CHAT, said("user", encoded(b"%PDF-1.7")), "it is a PDF document"),
        (CHAT, said("system", encoded(RED)), "'messages[0].images' is not supported: pictures may be in messages"),
        (CHAT, said("assistant", encoded(RED)), "user and tool, not assistant"),
        (GENERATE, {"prompt": "x", "images": ["*"]}, "'images[0]': it is not valid base64"),
        (GENERATE, {"prompt": "x", "images": [encoded(RED)], "raw": True}, "raw mode does not support images"),
        (GENERATE, {"prompt": "x", "images": [encoded(RED)], "context": [1]}, "context is not supported together"),
    ],
)
async def test_what_is_refused(
    serving: Serving, client: httpx.AsyncClient, path: str, body: dict[str, Any], words: str
) -> None:
    seeing(serving)
    assert words in await refused(client, path, {"model": SEEING} | body)
    assert serving.residency.loaded == [] and serving.engine.requests == []


async def test_a_text_model_is_refused_before_it_is_loaded(serving: Serving, client: httpx.AsyncClient) -> None:
    for path, body in ((CHAT, said("user", encoded(RED))), (GENERATE, {"prompt": "x", "images": [encoded(RED)]})):
        error = await refused(client, path, {"model": "parrot"} | body)
        assert error.startswith('"parrot" does not support vision: it is a language model') and "kind vlm" in error
    assert serving.residency.loaded == []


async def test_a_model_cannot_be_made_with_pictures_in_its_messages(client: httpx.AsyncClient) -> None:
    """They would be lost without a word."""
    body = {"model": "mine", "from": MODEL, "stream": False} | said("user", encoded(RED))
    response = await client.post("/api/create", content=json.dumps(body))
    assert response.status_code == 400 and "messages[0].images" in response.text
