"""Requests that use what the OpenAPI document's small examples do not: pictures, tools, conversations with calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from support.sent_pictures import data_url, drawn

_PICTURE = drawn("#d81e1e", "circle")
_FUNCTION = {
    "name": "look",
    "description": "Look.",
    "parameters": {"type": "object", "properties": {"x": {"type": "string"}}},
}
_TOOLS = [{"type": "function", "function": _FUNCTION}]
_CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
_SEEING = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": data_url(_PICTURE)}}]}
_CALLING = {"role": "assistant", "content": "I look.", "tool_calls": [_CALL]}

FULL: Mapping[str, list[dict[str, Any]]] = {
    "/v1/chat/completions": [
        {"model": "starter-vl", "messages": [_SEEING], "max_tokens": 1},
        {
            "model": "starter",
            "messages": [_CALLING],
            "tools": _TOOLS,
            "max_tokens": 1,
            "reasoning": {"effort": "low"},
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
        },
    ],
    "/v1/responses": [
        {
            "model": "starter",
            "input": [{"type": "message", "role": "user", "content": "hi"}],
            "tools": [{"type": "function", **_FUNCTION}],
            "reasoning": {"effort": "low"},
            "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}},
            "max_output_tokens": 1,
        },
        {
            "model": "starter-vl",
            "input": [{"role": "user", "content": [{"type": "input_image", "image_url": data_url(_PICTURE)}]}],
            "max_output_tokens": 1,
        },
    ],
    "/v1/messages": [
        {
            "model": "starter",
            "max_tokens": 1,
            "system": [{"type": "text", "text": "Be brief."}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
            "tools": [{"name": "look", "description": "Look.", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "auto"},
            "thinking": {"type": "enabled", "budget_tokens": 4},
        },
        {
            "model": "starter-vl",
            "max_tokens": 1,
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": data_url(_PICTURE)}}]}
            ],
        },
    ],
    "/v1/tokenize": [
        {"model": "starter-vl", "messages": [_SEEING]},
        {"model": "starter", "messages": [_CALLING], "tools": _TOOLS},
    ],
    "/api/chat": [
        {
            "model": "starter",
            "messages": [{**_CALLING, "tool_calls": [{"function": {"name": "look", "arguments": {"x": "1"}}}]}],
            "tools": _TOOLS,
            "options": {"num_predict": 1},
            "stream": False,
        }
    ],
    "/api/create": [
        {"model": "mine", "from": "starter", "messages": [{"role": "user", "content": "hi"}], "stream": False}
    ],
}
"""By path; small ones, which starter and starter-vl answer."""
