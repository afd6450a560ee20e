"""What streams of the Messages and of the Responses API say in all, put together from their deltas."""

from __future__ import annotations

import json
from typing import Any

from support.live_daemon import LiveDaemon
from support.message_stream import folded
from support.spoken_calls import TOOLS, Understood

_FUNCTIONS = [tool["function"] for tool in TOOLS]
_ANTHROPIC = [
    {"name": each["name"], "description": each["description"], "input_schema": each["parameters"]}
    for each in _FUNCTIONS
]
_RESPONSES = [{"type": "function", **each} for each in _FUNCTIONS]


def messages_stream(daemon: LiveDaemon, model: str, text: str) -> Understood:
    """Asked to think: without being asked, thoughts are left out."""
    asked = {"max_tokens": 2000, "thinking": {"type": "adaptive"}, "tools": _ANTHROPIC}
    with daemon.stream("/v1/messages", model=model, messages=[{"role": "user", "content": text}], **asked) as stream:
        assert stream.status == 200, stream.answer.read()
        message = folded([(record["type"], record) for record in stream])
    result = Understood()
    for block in message["content"]:
        match block["type"]:
            case "thinking":
                result.reasoning += block["thinking"]
                assert block["signature"] and not result.content and not result.calls
            case "text":
                result.content += block["text"]
            case "tool_use":
                assert block["id"]
                result.calls.append((block["name"], block["input"]))
    assert message["stop_reason"] == ("tool_use" if result.calls else "end_turn")
    return result


def responses_stream(daemon: LiveDaemon, model: str, text: str) -> Understood:
    """From the deltas; the items at the end say the same."""
    with daemon.stream("/v1/responses", model=model, input=text, tools=_RESPONSES, store=False) as stream:
        assert stream.status == 200, stream.answer.read()
        records: list[dict[str, Any]] = list(stream)
    result = Understood()
    arguments: dict[str, str] = {}
    names: dict[str, str] = {}
    for record in records:
        match record["type"].removeprefix("response."):
            case "reasoning_text.delta":
                result.reasoning += record["delta"]
            case "output_text.delta":
                result.content += record["delta"]
            case "function_call_arguments.delta":
                arguments[record["item_id"]] += record["delta"]
            case "output_item.added" if record["item"]["type"] == "function_call":
                names[record["item"]["id"]] = record["item"]["name"]
                arguments[record["item"]["id"]] = ""
    result.calls = [(names[item], json.loads(given)) for item, given in arguments.items()]
    assert records[-1]["type"] == "response.completed"
    assert _items(records[-1]["response"]["output"]) == result
    return result


def _items(output: list[dict[str, Any]]) -> Understood:
    result = Understood()
    for item in output:
        match item["type"]:
            case "reasoning":
                result.reasoning += "".join(part["text"] for part in item["content"])
            case "message":
                result.content += "".join(part["text"] for part in item["content"])
            case "function_call":
                assert item["call_id"]
                result.calls.append((item["name"], json.loads(item["arguments"])))
    return result
