"""The tools that a request offers its model, and which of them it may or must call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...daemon.protocol import Calling
from ..decode import unsupported
from ..openai.messages import MAX_TOOLS
from ..ranges import plain
from .blocks import Block, Tool, ToolChange
from .bodies import Conversation, invalid, missing

_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")


@dataclass(frozen=True)
class Offer:
    """A tool as chat templates expect it, and what it is called in the request."""

    name: str
    function: dict[str, Any]
    param: str


def offers(body: Conversation) -> list[Offer]:
    """Those that the model is told of. Raises RequestError."""
    given = body.tools or []
    if len(given) > MAX_TOOLS:
        raise invalid("tools", f"it has more than {MAX_TOOLS} entries")
    known: dict[str, Offer] = {}
    waiting: set[str] = set()
    for index, tool in enumerate(given):
        offer = _offer(tool, f"tools[{index}]")
        if offer is None:
            continue
        if offer.name in known:
            raise invalid(f"tools[{index}].name", "another tool has that name")
        known[offer.name] = offer
        if tool.defer_loading:
            waiting.add(offer.name)
    for added, name, offer in _changes(body):
        if offer is not None:
            known[name] = offer
        if added:
            waiting.discard(name)
        else:
            waiting.add(name)
    choice = body.tool_choice
    if choice is not None and choice.type == "none":
        return []
    if choice is not None and choice.type == "tool":
        waiting.discard(choice.name or "")
    return [offer for name, offer in known.items() if name not in waiting]


def calling(body: Conversation, offered: list[Offer]) -> Calling:
    """Raises RequestError."""
    choice = body.tool_choice
    if choice is None:
        return Calling()
    parallel = not choice.disable_parallel_tool_use
    if choice.type in ("auto", "none"):
        return Calling(parallel=parallel)
    if choice.type == "tool" and not choice.name:
        raise missing("tool_choice.name")
    if not offered:
        raise invalid("tool_choice", "it needs 'tools' that the model can call")
    if choice.type == "any":
        return Calling(required=True, parallel=parallel)
    if choice.name not in {offer.name for offer in offered}:
        raise invalid("tool_choice", f"'tools' has no function '{(choice.name or '')[:128]}'")
    return Calling(required=True, names=(choice.name or "",), parallel=False)


def _offer(tool: Tool, where: str) -> Offer | None:
    """None for a tool of a type that Anthropic runs or knows."""
    if tool.type not in (None, "custom"):
        return None
    if not tool.name:
        raise missing(f"{where}.name")
    if not _NAME.fullmatch(tool.name):
        raise invalid(f"{where}.name", "a name has letters, digits, and _ . : / -, at most 128 of them")
    if tool.input_schema is None:
        raise missing(f"{where}.input_schema")
    if tool.input_schema.get("type", "object") != "object":
        raise invalid(f"{where}.input_schema.type", "the input of a tool is an 'object'")
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = plain(tool.input_schema, f"{where}.input_schema")
    if tool.strict is not None:
        function["strict"] = tool.strict
    return Offer(tool.name, {"type": "function", "function": function}, where)


def _changes(body: Conversation) -> Iterator[tuple[bool, str, Offer | None]]:
    """What the conversation says of its tools, in its order: whether one is there from then on, and one that is new."""
    for index, message in enumerate(body.messages):
        for place, block in enumerate(message.content if isinstance(message.content, list) else []):
            where = f"messages[{index}].content[{place}]"
            if block.type == "tool_result" and isinstance(block.content, list):
                yield from ((True, name, None) for name in _references(block.content))
            elif block.type in ("tool_addition", "tool_removal"):
                if message.role != "system":
                    raise unsupported(f"{where}.type", "messages of the role 'system' change tools")
                if block.tool is None:
                    raise missing(f"{where}.tool")
                yield _change(block.type == "tool_addition", block.tool, f"{where}.tool")


def _references(blocks: list[Block]) -> Iterator[str]:
    return (block.tool_name for block in blocks if block.type == "tool_reference" and block.tool_name)


def _change(added: bool, change: ToolChange, where: str) -> tuple[bool, str, Offer | None]:
    if change.type == "tool_reference":
        if not change.name:
            raise missing(f"{where}.name")
        return added, change.name, None
    if change.type != "tool_definition" or not added:
        raise unsupported(f"{where}.type", "'tool_reference' is, and 'tool_definition' in an addition")
    if change.definition is None:
        raise missing(f"{where}.definition")
    return added, change.definition.name or "", _offer(change.definition, f"{where}.definition")
