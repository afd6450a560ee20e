"""The events of a stream of the Messages API, put together again."""

from __future__ import annotations

import json
from typing import Any


def folded(given: list[tuple[str, Any]]) -> dict[str, Any]:
    """The message that a stream amounts to; every event must be in its place."""
    names = [name for name, _ in given if name != "ping"]
    assert names[0] == "message_start" and names[-2:] == ["message_delta", "message_stop"]
    message: dict[str, Any] = given[0][1]["message"]
    parts: dict[int, str] = {}
    opened: int | None = None
    for name, document in given[1:]:
        if name == "content_block_start":
            assert opened is None and document["index"] == len(message["content"])
            opened = document["index"]
            message["content"].append(document["content_block"])
        elif name == "content_block_delta":
            assert document["index"] == opened
            block, delta = message["content"][opened], document["delta"]
            if delta["type"] == "input_json_delta":
                parts[opened] = parts.get(opened, "") + delta["partial_json"]
            else:
                field = delta["type"].removesuffix("_delta")
                block[field] += delta[field]
        elif name == "content_block_stop":
            assert document["index"] == opened
            if message["content"][opened]["type"] == "tool_use":
                message["content"][opened]["input"] = json.loads(parts.get(opened, "{}"))
            opened = None
        elif name == "message_delta":
            assert opened is None
            message |= document["delta"]
            message["usage"] |= document["usage"]
    return message
