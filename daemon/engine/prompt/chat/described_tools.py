"""Tools in the words of the system message, for templates that know calls and results but have no place for tools.

DeepSeek V3.1's model card has the words (https://huggingface.co/deepseek-ai/DeepSeek-V3.1, under ToolCall). R1 and its
distillations have none of their own: theirs are llama.cpp's (models/templates/llama-cpp-deepseek-r1.jinja).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ...output.formats.markup.deepseek import BEGIN, CALL, CALL_END, DEEPSEEK, END, SEPARATOR
from ...output.formats.table import reads_tools

Messages = list[dict[str, Any]]

_FENCE = "```json"
_V31 = f"""\
IMPORTANT: ALWAYS adhere to this exact format for tool use:
{BEGIN}{CALL}tool_call_name{SEPARATOR}tool_call_arguments{CALL_END}{{additional_tool_calls}}{END}

Where:
- `tool_call_name` must be an exact match to one of the available tools
- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema
- For multiple tool calls, chain them directly without separators or spaces"""
_R1 = f"""\
Example function tool call syntax:

{BEGIN}{CALL}function{SEPARATOR}example_function_name
{_FENCE}
{{
  "arg1": "some_value"
  ...
}}
```
{CALL_END}{END}"""


def with_described_tools(messages: Messages, tools: Sequence[dict[str, Any]], template: str, family: str) -> Messages:
    """The messages with the tools in the system message, which may be a new one; or as they are, where the template
    takes tools itself or nobody knows its family's words."""
    if not tools or family != DEEPSEEK.name or BEGIN not in template or reads_tools(template):
        return messages
    first = messages[0] if messages and messages[0].get("role") == "system" else None
    others = messages[1:] if first else messages
    said = _text(first.get("content")) if first else ""
    parts = [_r1(tools), said] if _FENCE in template else [said, _v31(tools)]
    return [(first or {"role": "system"}) | {"content": "\n\n".join(filter(None, parts))}, *others]


def _v31(tools: Sequence[dict[str, Any]]) -> str:
    parts = ["## Tools\nYou have access to the following tools:"]
    for function in map(_function, tools):
        parameters = json.dumps(function.get("parameters") or {}, ensure_ascii=False)
        parts.append(
            f"### {function.get('name')}\nDescription: {function.get('description') or ''}\n\nParameters: {parameters}"
        )
    return "\n\n".join([*parts, _V31])


def _r1(tools: Sequence[dict[str, Any]]) -> str:
    shown = json.dumps([*map(_function, tools)], indent=2, ensure_ascii=False)
    return f"You can call any of the following function tools to satisfy the user's requests: {shown}\n\n{_R1}"


def _function(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    return function if isinstance(function, dict) else tool


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")
