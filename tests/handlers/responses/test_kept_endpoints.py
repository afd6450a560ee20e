"""What is kept of an answer, over a real connection: asked for, gone on with, listed, deleted, by its key alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.engine import finished, says
from fakes.serving import MODEL, Serving, daemon
from openai.types.responses import ResponseItem
from pydantic import TypeAdapter
from support.responses_wire import checked, events

from mlx_serve.daemon.protocol import Delta, ToolCall

PATH = "/v1/responses"
_ITEM: TypeAdapter[Any] = TypeAdapter(ResponseItem)


async def ask(client: httpx.AsyncClient, status: int = 200, **more: Any) -> dict[str, Any]:
    response = await client.post(PATH, json={"model": MODEL, "input": "hi"} | more)
    assert response.status_code == status, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_a_response_is_given_as_it_was(client: httpx.AsyncClient) -> None:
    """Whole or streamed; until it is deleted."""
    answer = await ask(client)
    streamed = await client.post(PATH, json={"model": MODEL, "input": "hi", "stream": True})
    for each in (answer, events(streamed.text)[-1]["response"]):
        path = f"{PATH}/{each['id']}"
        assert (await client.get(path)).json() == each
        assert (await client.delete(path)).json() == {"id": each["id"], "object": "response", "deleted": True}
        for gone in (await client.get(path), await client.delete(path), await client.get(f"{path}/input_items")):
            assert gone.status_code == 404 and gone.json()["error"]["code"] == "response_not_found"


async def test_a_conversation_goes_on(serving: Serving, client: httpx.AsyncClient) -> None:
    """With all that was said before, the answers included; instructions are those of the request."""
    first = await ask(client, instructions="I")
    second = await ask(client, input="and?", previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]
    await ask(client, input=[{"role": "user", "content": "so?"}], previous_response_id=second["id"], instructions="J")
    assert serving.engine.requests[-1].prompt.messages == (
        {"role": "system", "content": "J"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hello world"},
        {"role": "user", "content": "and?"},
        {"role": "assistant", "content": "Hello world"},
        {"role": "user", "content": "so?"},
    )
    await client.delete(f"{PATH}/{first['id']}")
    await ask(client, previous_response_id=second["id"])
    assert len(serving.engine.requests[-1].prompt.messages) == 5


async def test_thoughts_and_calls_go_on(serving: Serving, client: httpx.AsyncClient) -> None:
    call = ToolCall("f", '{"a": 1}', 0)
    serving.engine.script = says(Delta(id=1, reasoning="Hm."), Delta(id=1, tool_calls=(call,)), finished("tool_calls"))
    tools = [{"type": "function", "name": "f"}]
    first = await ask(client, tools=tools, reasoning={"summary": "auto"})
    call_id = first["output"][1]["call_id"]
    output = {"type": "function_call_output", "call_id": call_id, "output": "7"}
    await ask(client, tools=tools, previous_response_id=first["id"], input=[output])
    _, called, result = serving.engine.requests[-1].prompt.messages
    assert called["thinking"] == "Hm." and called["tool_calls"][0]["function"] == {"name": "f", "arguments": {"a": 1}}
    assert result == {"role": "tool", "content": "7", "tool_call_id": call_id, "tool_name": "f"}


async def test_nothing_is_kept_unless_it_may_be(serving: Serving, client: httpx.AsyncClient) -> None:
    answer = await ask(client, store=False)
    assert answer["store"] is False and (await client.get(f"{PATH}/{answer['id']}")).status_code == 404
    error = (await ask(client, 404, previous_response_id=answer["id"]))["error"]
    assert error["message"] == f"Previous response with id '{answer['id']}' not found."
    assert (error["code"], error["param"]) == ("previous_response_not_found", "previous_response_id")
    serving.engine.script = says(Delta(id=1, text="a"), ValueError("x"))
    streamed = await client.post(PATH, json={"model": MODEL, "input": "hi", "stream": True})
    assert (await client.get(f"{PATH}/{events(streamed.text)[-1]['response']['id']}")).status_code == 404


async def test_items_can_be_referred_to(serving: Serving, client: httpx.AsyncClient) -> None:
    answer = await ask(client)
    reference = {"type": "item_reference", "id": answer["output"][0]["id"]}
    for each in (reference, {"id": reference["id"]}):
        await ask(client, input=[each, {"role": "user", "content": "so?"}])
        assert serving.engine.requests[-1].prompt.messages[0] == {"role": "assistant", "content": "Hello world"}
    error = (await ask(client, 404, input=[{"type": "item_reference", "id": "msg_none"}]))["error"]
    assert (error["param"], error["code"]) == ("input[0].id", "item_not_found")


async def test_the_input_is_listed(client: httpx.AsyncClient) -> None:
    """The newest first, in pages; each item fits OpenAI's model of it."""
    items: list[dict[str, Any]] = [
        {"role": "developer", "content": "d"},
        {"role": "user", "content": [{"type": "input_text", "text": "u"}], "id": "msg_mine"},
        {"role": "assistant", "content": "a"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "o"},
        {"type": "custom_tool_call", "call_id": "d", "name": "f", "input": "i"},
        {"type": "custom_tool_call_output", "call_id": "d", "output": "o"},
        {"type": "reasoning", "id": "rs_1", "content": [{"type": "reasoning_text", "text": "t"}]},
    ]
    first = await ask(client, input=items)
    path = f"{PATH}/{first['id']}/input_items"
    listed = (await client.get(path, params={"order": "asc"})).json()
    assert listed["object"] == "list" and not listed["has_more"]
    for item in listed["data"]:
        _ITEM.validate_python(item)
    assert [item["type"] for item in listed["data"]] == [item.get("type", "message") for item in items]
    assert listed["data"][1]["id"] == "msg_mine" and listed["data"][1]["content"][0]["text"] == "u"
    assert listed["data"][0]["content"] == [{"type": "input_text", "text": "d"}]
    assert (await client.get(path)).json()["data"] == listed["data"][::-1]
    page = (await client.get(path, params={"order": "asc", "limit": 3, "after": "msg_mine"})).json()
    assert page["data"] == listed["data"][2:5] and page["has_more"]
    assert (page["first_id"], page["last_id"]) == (listed["data"][2]["id"], listed["data"][4]["id"])
    second = await ask(client, previous_response_id=first["id"])
    assert len((await client.get(f"{PATH}/{second['id']}/input_items")).json()["data"]) == len(items) + 2


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "limit=-1", "order=up", "after=none", "limit=9" * 9]
)
async def test_a_listing_that_cannot_be(client: httpx.AsyncClient, query: str) -> None:
    answer = await ask(client)
    response = await client.get(f"{PATH}/{answer['id']}/input_items?{query}")
    assert response.status_code == 400 and response.json()["error"]["param"] == query.split("=")[0]


async def test_what_a_kept_response_cannot_do(client: httpx.AsyncClient) -> None:
    """Be cancelled, for it has ended; be streamed again."""
    answer = checked(await ask(client))
    cancelled = await client.post(f"{PATH}/{answer['id']}/cancel")
    assert cancelled.status_code == 400 and "Cannot cancel a synchronous response" in cancelled.text
    assert (await client.post(f"{PATH}/resp_none/cancel")).status_code == 404
    streamed = await client.get(f"{PATH}/{answer['id']}?stream=true")
    assert streamed.status_code == 400 and streamed.json()["error"]["param"] == "stream"
    for path in (f"{PATH}/{'x' * 500}", f"{PATH}/%ff", f"{PATH}/..%2f", f"{PATH}/a b"):
        assert (await client.get(path)).status_code in (400, 404)


async def test_a_response_belongs_to_the_key_that_made_it(tmp_path: Path) -> None:
    def showing(**headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=serving.url, trust_env=False, headers=headers)

    async with (
        daemon(tmp_path, api_keys=["one", "two"], require_keys="always") as serving,
        showing(authorization="Bearer one") as client,
        showing(**{"x-api-key": "one"}) as same,
        showing(authorization="Bearer two") as other,
        showing(**{"x-api-key": "two"}) as another,
    ):
        answer = await ask(client)
        path = f"{PATH}/{answer['id']}"
        for each in (other, another):
            assert (await each.get(path)).status_code == (await each.delete(path)).status_code == 404
            await ask(each, 404, previous_response_id=answer["id"])
            await ask(each, 404, input=[{"type": "item_reference", "id": answer["output"][0]["id"]}])
        assert (await same.get(path)).status_code == (await client.get(path)).status_code == 200
