"""Pictures in /v1/chat/completions: what the engine is given, and what is refused before any model is loaded."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import msgspec
import pytest
from fakes.engine import FakeEngine
from fakes.serving import MODEL, Serving
from support.sent_pictures import SEEING, data_url, encoded, part, png, seeing, text

from mlx_serve.daemon.protocol import ChatPrompt, Generate, Picture

PATH = "/v1/chat/completions"
RED, BLUE = png("red"), png("blue")


def prompt_of(engine: FakeEngine) -> ChatPrompt:
    work = engine.requests[-1]
    assert isinstance(work, Generate) and isinstance(work.prompt, ChatPrompt)
    return work.prompt


def picture(data: bytes, param: str, detail: Any = None) -> Picture:
    return Picture(data=data, digest=hashlib.sha256(data).hexdigest(), detail=detail, param=param)


async def ask(client: httpx.AsyncClient, *messages: dict[str, Any], **more: Any) -> httpx.Response:
    return await client.post(PATH, json={"model": SEEING, "messages": list(messages)} | more)


async def refused(client: httpx.AsyncClient, *messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    response = await ask(client, *messages, **more)
    assert response.status_code == 400, response.text
    error: dict[str, Any] = response.json()["error"]
    return error


@pytest.mark.parametrize("stream", [False, True])
async def test_pictures_reach_the_engine_in_their_places(
    serving: Serving, client: httpx.AsyncClient, stream: bool
) -> None:
    """Content becomes parts only where there are pictures; the i-th image part stands for the i-th picture."""
    seeing(serving)
    response = await ask(
        client,
        {"role": "system", "content": [text("be "), text("brief")]},
        {"role": "user", "content": [text("one"), part(data_url(RED)), text("a"), text("b")]},
        {"role": "assistant", "content": "red"},
        {"role": "user", "content": [part(data_url(BLUE), detail="high"), part(data_url(RED), detail="auto")]},
        stream=stream,
    )
    assert response.status_code == 200, response.text
    prompt = prompt_of(serving.engine)
    assert [message["content"] for message in prompt.messages] == [
        "be brief",
        [text("one"), {"type": "image"}, text("ab")],
        "red",
        [{"type": "image"}, {"type": "image"}],
    ]
    assert prompt.pictures == (
        picture(RED, "messages[1].content[1].image_url.url"),
        picture(BLUE, "messages[3].content[0].image_url.url", "high"),
        picture(RED, "messages[3].content[1].image_url.url"),
    )


async def test_other_ways_to_write_a_picture(serving: Serving, client: httpx.AsyncClient) -> None:
    """The URL alone, as some clients have it, and the part of the Responses API."""
    seeing(serving)
    content = [
        {"type": "image_url", "image_url": data_url(RED), "detail": "low"},
        {"type": "input_image", "image_url": data_url(BLUE, "image/anything")},
        {"type": "input_text", "text": "what?"},
    ]
    assert (await ask(client, {"role": "user", "content": content})).status_code == 200
    prompt = prompt_of(serving.engine)
    assert prompt.messages[0]["content"] == [{"type": "image"}, {"type": "image"}, text("what?")]
    assert prompt.pictures == (
        picture(RED, "messages[0].content[0].image_url", "low"),
        picture(BLUE, "messages[0].content[1].image_url"),
    )


async def test_a_tool_may_answer_with_a_picture(serving: Serving, client: httpx.AsyncClient) -> None:
    """As agents do that take screenshots."""
    seeing(serving)
    call = {"id": "c1", "type": "function", "function": {"name": "screenshot", "arguments": "{}"}}
    response = await ask(
        client,
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [text("done"), part(data_url(RED))]},
    )
    assert response.status_code == 200
    prompt = prompt_of(serving.engine)
    assert prompt.messages[2]["content"] == [text("done"), {"type": "image"}]
    assert prompt.messages[2]["tool_name"] == "screenshot" and len(prompt.pictures) == 1


async def test_text_goes_to_a_model_that_sees_as_to_any_other(serving: Serving, client: httpx.AsyncClient) -> None:
    seeing(serving)
    assert (await ask(client, {"role": "user", "content": [text("a"), text("b")]})).status_code == 200
    prompt = prompt_of(serving.engine)
    assert prompt.messages[0]["content"] == "ab" and prompt.pictures == ()


PICTURE = {"role": "user", "content": [text("x"), part(data_url(RED))]}


@pytest.mark.parametrize(
    ("model", "kind"),
    [(MODEL, "a language model"), ("acme/vectors", "an embedding model"), ("acme/judge", "a reranker")],
)
async def test_a_model_that_cannot_see_is_refused_before_it_is_loaded(
    serving: Serving, client: httpx.AsyncClient, model: str, kind: str
) -> None:
    """The sentence says what the model is, and which kind is needed."""
    serving.store.add("acme/judge", kind="reranker")
    error = await refused(client, PICTURE, model=model)
    assert error["message"] == (
        f'"{model}" does not support vision: it is {kind} and cannot see pictures; use a vision-language model (kind '
        "vlm), such as starter-vl"
    )
    assert (error["param"], error["code"]) == ("messages[0].content[1].image_url.url", "unsupported_parameter")
    assert serving.residency.loaded == [] and serving.engine.requests == []


URL = "messages[0].content[0].image_url.url"
TYPE = "messages[0].content[0].type"


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"content": [part("file:///etc/passwd")]}, URL),
        ({"content": [part("ftp://example.com/a.png")]}, URL),
        ({"content": [part("cat.png")]}, URL),
        ({"content": [part("")]}, URL),
        ({"content": [part("data:image/png;base64,****")]}, URL),
        ({"content": [part("data:text/plain;base64,AAAA")]}, URL),
        ({"content": [part(data_url(b""))]}, URL),
        ({"content": [part(data_url(b"<svg xmlns=''/>", "image/svg+xml"))]}, URL),
        ({"content": [part("data:image/svg+xml,%3Csvg/%3E")]}, URL),
        ({"content": [part(data_url(b"%PDF-1.7"))]}, URL),
        ({"content": [part(data_url(RED), detail="best")]}, "messages[0].content[0].image_url.detail"),
        ({"content": [{"type": "image_url", "image_url": {}}]}, URL),
        ({"content": [{"type": "image_url"}]}, "messages[0].content[0].image_url"),
        ({"content": [{"type": "image_url", "image_url": "x"}]}, "messages[0].content[0].image_url"),
        ({"content": [{"type": "image_url", "image_url": 5}]}, "messages[0].content[0].image_url"),
        ({"content": [{"type": "input_image", "file_id": "f"}]}, "messages[0].content[0].image_url"),
        ({"content": [part(data_url(RED))], "role": "system"}, TYPE),
        ({"content": [part(data_url(RED))], "role": "developer"}, TYPE),
        ({"content": [part(data_url(RED))], "role": "assistant"}, TYPE),
        ({"content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}, TYPE),
        ({"content": [{"type": "file", "file": {"file_id": "x"}}]}, TYPE),
        ({"content": [{"type": "video_url", "video_url": {"url": "https://example.com"}}]}, TYPE),
        ({"content": [part(data_url(RED)), {"type": "text"}]}, "messages[0].content[1].text"),
        ({"content": [part(data_url(RED))] * 101}, "messages[0].content[100].image_url.url"),
    ],
)
async def test_what_is_no_picture_is_a_400_that_names_its_field(
    serving: Serving, client: httpx.AsyncClient, message: dict[str, Any], param: str
) -> None:
    seeing(serving)
    error = await refused(client, {"role": "user"} | message)
    assert error["param"] == param and error["type"] == "invalid_request_error"
    assert len(error["message"]) < 300
    assert serving.residency.found == [] and serving.engine.requests == []


async def test_fifty_megabytes_of_base64_are_a_400(serving: Serving, client: httpx.AsyncClient) -> None:
    """More than a picture may have is refused by its length; the next request works."""
    seeing(serving)
    error = await refused(client, {"role": "user", "content": [part("data:image/png;base64," + "A" * 50_000_000)]})
    assert error["param"] == URL and "larger than 20 MiB" in error["message"]
    assert (await ask(client, PICTURE)).status_code == 200


async def test_what_the_engine_says_of_a_picture_names_its_field(serving: Serving, client: httpx.AsyncClient) -> None:
    """A picture that is cut or too large is found out by the engine, which has the field's name from here."""
    from mlx_serve.daemon.errors import RequestRejected

    seeing(serving)
    serving.engine.script = lambda work: [
        RequestRejected("invalid_request", "the picture is cut", prompt_of(serving.engine).pictures[0].param)
    ]
    error = await refused(client, PICTURE)
    assert error["param"] == "messages[0].content[1].image_url.url"


async def test_capabilities_say_that_a_model_sees(serving: Serving, client: httpx.AsyncClient) -> None:
    """In all three listings alike."""
    seeing(serving)
    cards = {card["id"]: card["capabilities"] for card in (await client.get("/v1/models")).json()["data"]}
    tags = {tag["model"]: tag["capabilities"] for tag in (await client.get("/api/tags")).json()["models"]}
    shown = (await client.post("/api/show", json={"model": SEEING})).json()["capabilities"]
    assert cards[SEEING] == tags[f"{SEEING}:latest"] == shown == ["completion", "vision"]
    assert "vision" not in cards[MODEL]


async def test_pictures_and_a_model_of_ones_own_prompt(serving: Serving, client: httpx.AsyncClient) -> None:
    """A system prompt that the model brings is put before the conversation; its pictures stay where they are."""
    from mlx_serve.store.disk.manifests import Overrides

    serving.store.add(SEEING, kind="vlm", overrides=Overrides(system="be brief"))
    assert (await ask(client, PICTURE)).status_code == 200
    prompt = prompt_of(serving.engine)
    assert [message["role"] for message in prompt.messages] == ["system", "user"]
    assert prompt.pictures == (picture(RED, "messages[0].content[1].image_url.url"),)
    assert msgspec.msgpack.encode(prompt)


async def test_one_character_that_is_not_base64_is_found(serving: Serving, client: httpx.AsyncClient) -> None:
    seeing(serving)
    wrong = encoded(RED)[:-8] + "*" + encoded(RED)[-7:]
    error = await refused(client, {"role": "user", "content": [part(f"data:image/png;base64,{wrong}")]})
    assert error["param"] == URL and "it is not valid base64" in error["message"]
