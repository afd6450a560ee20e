"""What Codex and pi really send, and what the model is then asked."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fakes.engine import finished, says
from fakes.serving import MODEL, Serving
from support.client_shapes import needs_shapes, shape
from support.responses_wire import events
from support.sent_pictures import seeing

from mlx_serve.daemon.protocol import ChatPrompt, Delta, Generate

PATH = "/v1/responses"
pytestmark = needs_shapes
RESPONSES = [*(f"codex-{number}" for number in (1, 2, 3, 4, 5, 7)), "pi-4", "pi-5", "pi-6"]


async def prompt(serving: Serving, client: httpx.AsyncClient, name: str, **more: Any) -> ChatPrompt:
    """What the model is given of a recorded request."""
    response = await client.post(PATH, json=shape(name, MODEL) | more)
    assert response.status_code == 200, response.text
    assert events(response.text)[-1]["type"] == "response.completed"
    work = serving.engine.requests[-1]
    assert isinstance(work, Generate) and isinstance(work.prompt, ChatPrompt) and work.parse_tools
    return work.prompt


@pytest.mark.parametrize("name", RESPONSES)
async def test_every_request_is_answered(serving: Serving, client: httpx.AsyncClient, name: str) -> None:
    """One system message at the beginning, the user's next; what hosted tools there are is left out."""
    found = await prompt(serving, client, name)
    assert [message["role"] for message in found.messages[:2]] == ["system", "user"]
    body = shape(name, MODEL)
    functions = [tool["name"] for tool in body["tools"] if tool["type"] in ("function", "custom")]
    functions += [each["name"] for tool in body["tools"] if tool["type"] == "namespace" for each in tool["tools"]]
    assert sorted(tool["function"]["name"] for tool in found.tools) == sorted(functions)
    assert not {"web_search", "tool_search"} & {tool["function"]["name"] for tool in found.tools}


@pytest.mark.parametrize(("first", "second"), [("codex-1", "codex-2"), ("codex-3", "codex-4"), ("pi-4", "pi-5")])
async def test_a_second_turn_goes_on_where_the_first_ended(
    serving: Serving, client: httpx.AsyncClient, first: str, second: str
) -> None:
    """What the cache of prompts needs: the same beginning, then the call and what it gave."""
    one, two = await prompt(serving, client, first), await prompt(serving, client, second)
    assert two.tools == one.tools
    assert two.messages[: len(one.messages)] == one.messages
    call, result = two.messages[len(one.messages) :]
    (called,) = call["tool_calls"]
    assert call["role"] == "assistant" and result["role"] == "tool"
    assert result["tool_call_id"] == called["id"] and result["tool_name"] == called["function"]["name"]


async def test_calls_of_a_namespace_and_of_a_custom_tool_come_back(serving: Serving, client: httpx.AsyncClient) -> None:
    spawned = (await prompt(serving, client, "codex-5")).messages[-2]["tool_calls"][0]["function"]
    assert spawned == {"name": "spawn_agent", "arguments": {}}
    found = await prompt(serving, client, "codex-4")
    patched = found.messages[-2]["tool_calls"][0]["function"]
    assert patched["name"] == "apply_patch" and set(patched["arguments"]) == {"input"}
    offered = next(tool["function"] for tool in found.tools if tool["function"]["name"] == "apply_patch")
    assert "*** Begin Patch" in offered["description"]


async def test_thoughts_come_back(serving: Serving, client: httpx.AsyncClient) -> None:
    """What Codex was given as `encrypted_content` and as a summary is told to the model again."""
    assert (await prompt(serving, client, "codex-7")).messages[-2]["thinking"]
    serving.engine.script = says(Delta(id=1, reasoning="Hm, 好."), Delta(id=1, text="Yes."), finished())
    body = shape("codex-1", MODEL)
    given = events((await client.post(PATH, json=body)).text)[-1]["response"]["output"]
    assert given[0]["encrypted_content"] and given[0]["summary"][0]["text"] == "Hm, 好."
    returned = [given[0] | {"content": None, "summary": []}, given[1], {"role": "user", "content": "so?"}]
    await client.post(PATH, json=body | {"input": body["input"] + returned})
    work = serving.engine.requests[-1]
    assert isinstance(work, Generate) and isinstance(work.prompt, ChatPrompt)
    assert work.prompt.messages[-2] == {"role": "assistant", "content": "Yes.", "thinking": "Hm, 好."}


async def test_what_is_about_the_client_does_not_reach_the_prompt(serving: Serving, client: httpx.AsyncClient) -> None:
    """Its metadata change from turn to turn, the order of their keys too."""
    metadata = shape("codex-1", MODEL)["client_metadata"]
    one = await prompt(serving, client, "codex-1")
    two = await prompt(
        serving, client, "codex-1", client_metadata=dict(reversed(metadata.items())), prompt_cache_key="x"
    )
    assert one == two


async def test_a_picture_that_a_tool_gave(serving: Serving, client: httpx.AsyncClient) -> None:
    """Is seen by a model that sees; another says where it stands."""
    body = shape("codex-6", MODEL)
    response = await client.post(PATH, json=body)
    assert response.status_code == 400 and "does not support vision" in response.text
    assert response.json()["error"]["param"] == f"input[{len(body['input']) - 1}].output[0].image_url"
    response = await client.post(PATH, json=shape("codex-6", seeing(serving)) | {"tools": []})
    assert response.status_code == 200, response.text
    work = serving.engine.requests[-1]
    assert isinstance(work, Generate) and isinstance(work.prompt, ChatPrompt)
    assert work.prompt.messages[-1]["content"] == [{"type": "image"}] and len(work.prompt.pictures) == 1
    assert work.prompt.pictures[0].detail == "high"
