"""What chat templates are given of the items of a conversation."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mlx_serve.handlers.failure import RequestError
from mlx_serve.handlers.pictures.request_pictures import RequestPictures
from mlx_serve.handlers.responses.callable_tools import callable_tools
from mlx_serve.handlers.responses.input_items import read, restored, sealed, shown, stored
from mlx_serve.handlers.responses.item_messages import ItemMessages

PIXEL = "data:image/png;base64,iVBORw0KGgo="


def messages(items: Any, tools: Any = None, instructions: str = "") -> list[dict[str, Any]]:
    raws = items if isinstance(items, str) else [msgspec.Raw(msgspec.json.encode(item)) for item in items]
    found = ItemMessages(callable_tools(tools), RequestPictures())
    if instructions:
        found.instruct(instructions)
    found.add(read(raws, lambda identity: None))
    return found.messages


def call(name: str, arguments: str, number: int, **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"call_{number}", "name": name, "arguments": arguments} | more


def result(text: Any, number: int) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": f"call_{number}", "output": text}


def test_a_text_is_the_users() -> None:
    assert messages("hi") == [{"role": "user", "content": "hi"}]


def test_instructions_and_what_developers_say_first_are_one_system_message() -> None:
    """Templates take one, at the beginning; what is said later stays where it was said."""
    items = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "A"}]},
        {"role": "system", "content": "B"},
        {"role": "user", "content": "hi"},
        {"role": "developer", "content": "C"},
    ]
    assert messages(items, instructions="I") == [
        {"role": "system", "content": "I\n\nA\n\nB"},
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "C"},
    ]


def test_what_the_assistant_did_between_two_inputs_is_one_message() -> None:
    items = [
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
        },
        call("shell", '{"cmd": "ls"}', 1),
        call("shell", "", 2),
        result("a.py", 1),
        result([{"type": "input_text", "text": "b"}, {"type": "input_text", "text": ".py"}], 2),
        {"role": "assistant", "content": "Two files."},
        {"role": "user", "content": "thanks"},
    ]
    found = messages(items)
    assert found[1] == {
        "role": "assistant",
        "content": "I look.",
        "thinking": "Hm.",
        "tool_calls": [
            {"type": "function", "id": "call_1", "function": {"name": "shell", "arguments": {"cmd": "ls"}}},
            {"type": "function", "id": "call_2", "function": {"name": "shell", "arguments": {}}},
        ],
    }
    assert found[2] == {"role": "tool", "content": "a.py", "tool_call_id": "call_1", "tool_name": "shell"}
    assert found[3]["content"] == "b.py"
    assert [message["role"] for message in found] == ["user", "assistant", "tool", "tool", "assistant", "user"]


def test_custom_calls_and_those_of_namespaces_under_the_names_that_are_offered() -> None:
    """A custom tool's text is the argument `input`; a name that stands twice is the namespace's own."""
    function = {"type": "function", "name": "spawn"}
    tools = [
        {"type": "custom", "name": "apply_patch"},
        {"type": "namespace", "name": "a", "tools": [function]},
        {"type": "namespace", "name": "b", "tools": [function, {"type": "function", "name": "other"}]},
    ]
    items = [
        {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
        call("spawn", "{}", 1, namespace="b"),
        call("other", "{}", 2, namespace="b"),
        call("gone", "{}", 3, namespace="z"),
    ]
    first, answered, second = messages(items, tools)
    assert first["tool_calls"][0]["function"] == {"name": "apply_patch", "arguments": {"input": "*** Begin"}}
    assert answered == {"role": "tool", "content": "done", "tool_call_id": "c", "tool_name": "apply_patch"}
    assert [each["function"]["name"] for each in second["tool_calls"]] == ["b__spawn", "other", "gone"]


@pytest.mark.parametrize(
    ("item", "thought"),
    [
        ({"content": [{"type": "reasoning_text", "text": "told"}], "encrypted_content": sealed("sealed")}, "told"),
        ({"summary": [{"type": "summary_text", "text": "short"}], "encrypted_content": sealed("sealed ✓")}, "sealed ✓"),
        (
            {"summary": [{"type": "summary_text", "text": "short"}], "content": None, "encrypted_content": "c2ln"},
            "short",
        ),
        ({"summary": [], "encrypted_content": "mlx-serve:%%%"}, None),
        ({"summary": [], "encrypted_content": "mlx-serve:gICA"}, None),
        ({}, None),
    ],
)
def test_a_thought_is_read_from_wherever_it_is(item: dict[str, Any], thought: str | None) -> None:
    """As it was told, as this server sealed it, or as its summary; another server's seal is not ours to break."""
    found = messages([{"role": "user", "content": "a"}, {"type": "reasoning", "id": "rs"} | item])
    assert [message.get("thinking") for message in found[1:]] == ([thought] if thought else [])


def test_pictures_of_users_and_of_tools() -> None:
    picture = {"type": "input_image", "image_url": PIXEL, "detail": "original"}
    items = [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "see "}, {"type": "input_text", "text": "it"}, picture],
        },
        call("view", "{}", 1),
        result([picture], 1),
    ]
    user, _, tool = messages(items)
    assert user["content"] == [{"type": "text", "text": "see it"}, {"type": "image"}]
    assert tool["content"] == [{"type": "image"}]
    with pytest.raises(RequestError) as caught:
        messages([{"role": "assistant", "content": [picture]}])
    assert caught.value.param == "input[0].content[0].type"


def test_items_of_hosted_tools_are_left_out() -> None:
    items = [
        {"role": "user", "content": "a"},
        {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search", "query": ["x"]}},
        {"type": "mcp_call", "id": 7, "anything": None},
    ]
    assert messages(items) == [{"role": "user", "content": "a"}]


@pytest.mark.parametrize(
    "item",
    [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}]},
        call("shell", '{"a": 1}', 1, namespace="n"),
        result("text", 1),
        {"type": "custom_tool_call", "call_id": "c", "name": "p", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "x"}]},
        {"type": "reasoning", "id": "rs_7", "summary": [{"type": "summary_text", "text": "s"}]},
    ],
)
def test_a_kept_item_says_the_same_and_has_an_id(item: dict[str, Any]) -> None:
    ((_, given),) = read([msgspec.Raw(msgspec.json.encode(item))], lambda identity: None)
    data = stored(given)
    kept = restored(data)
    assert kept.id and (item.get("id") in (None, kept.id))
    assert msgspec.structs.replace(kept, id=None) == msgspec.structs.replace(given, id=None)
    assert shown(data)["id"] == kept.id and shown(data)["type"] == item.get("type", "message")
