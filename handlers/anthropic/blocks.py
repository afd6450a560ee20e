"""The blocks of a message's content: one type for all kinds, each of which has some of its fields."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from .. import ranges
from ..decode import Fields, ignored, partly


class Citations(msgspec.Struct):
    enabled: bool | None = None


class Tool(msgspec.Struct):
    """A function where `type` is `custom` or left out; any other is one that Anthropic runs or knows."""

    name: ranges.Label | None = None
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    defer_loading: bool | None = None


class ToolChange(msgspec.Struct):
    """The tool that a `tool_addition` or `tool_removal` is about."""

    type: str
    name: ranges.Label | None = None
    definition: Tool | None = None


class Source(msgspec.Struct):
    """Where a picture's or a document's content is."""

    type: str
    media_type: ranges.Label | None = None
    data: str | None = None
    url: str | None = None
    content: str | list[Block] | None = None


class Block(msgspec.Struct):
    """`citations` of a text are a list that comes back with it; those of a document say whether to cite it."""

    type: str
    text: str | None = None
    source: Source | str | None = None
    content: str | list[Block] | None = None
    id: ranges.Label | None = None
    name: ranges.Label | None = None
    input: dict[str, Any] | None = None
    tool_use_id: ranges.Label | None = None
    is_error: bool | None = None
    tool_name: ranges.Label | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    title: str | None = None
    context: str | None = None
    citations: Citations | list[Raw] | None = None
    tool: ToolChange | None = None


BLOCK_FIELDS: Fields = {
    "type": partly(
        "`text`, `image`, `document`, `search_result`, `tool_use`, `tool_result`, `tool_reference` in its content, "
        "`thinking`, `redacted_thinking`, and `tool_addition` and `tool_removal` in messages of the role `system`; "
        "what else there is belongs to tools that Anthropic runs, and is refused"
    ),
    "source": partly(
        "pictures, for models that see, in messages of the user and in `tool_result`: `base64` and `url`; documents: "
        "`text` and `content`. PDF and files are refused"
    ),
    "citations": partly("of a text ignored; `enabled` in a document or search result is refused"),
    "data": ignored("of `redacted_thinking`: nobody but its maker can read it"),
}
