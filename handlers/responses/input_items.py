"""The items of a conversation, typed: what clients send, what is kept, and what a kept response is asked for."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from .. import ranges
from ..decode import misfit, unsupported
from ..failure import RequestError

T = TypeVar("T")
Status = Literal["in_progress", "completed", "incomplete"]
Detail = Literal["auto", "low", "high", "original"]
MAX_ITEMS = 10_000
_OURS = "mlx-serve:"


class Part(msgspec.Struct, omit_defaults=True):
    """A part of a message's content, or of what a tool gave."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    file_id: str | None = None
    detail: Detail | None = None


class Message(msgspec.Struct, omit_defaults=True, kw_only=True):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]
    type: Literal["message"] = "message"
    id: ranges.Label | None = None
    status: Status | None = None


class FunctionCall(msgspec.Struct, omit_defaults=True, kw_only=True):
    call_id: ranges.Label
    name: ranges.Label
    arguments: str
    type: Literal["function_call"] = "function_call"
    id: ranges.Label | None = None
    namespace: ranges.Label | None = None
    status: Status | None = None


class FunctionCallOutput(msgspec.Struct, omit_defaults=True, kw_only=True):
    call_id: ranges.Label
    output: str | list[Part]
    type: Literal["function_call_output"] = "function_call_output"
    id: ranges.Label | None = None
    status: Status | None = None


class CustomToolCall(msgspec.Struct, omit_defaults=True, kw_only=True):
    call_id: ranges.Label
    name: ranges.Label
    input: str
    type: Literal["custom_tool_call"] = "custom_tool_call"
    id: ranges.Label | None = None
    namespace: ranges.Label | None = None


class CustomToolCallOutput(msgspec.Struct, omit_defaults=True, kw_only=True):
    call_id: ranges.Label
    output: str | list[Part]
    type: Literal["custom_tool_call_output"] = "custom_tool_call_output"
    id: ranges.Label | None = None


class Reasoning(msgspec.Struct, omit_defaults=True, kw_only=True):
    summary: list[Part] | None = None
    content: list[Part] | None = None
    encrypted_content: str | None = None
    type: Literal["reasoning"] = "reasoning"
    id: ranges.Label | None = None
    status: Status | None = None

    @property
    def text(self) -> str:
        """The thought: as it was told, or as this server gave it, or what a summary says of it."""
        for parts in (self.content, [Part("", unsealed(self.encrypted_content))], self.summary):
            if found := "\n\n".join(part.text or "" for part in parts or ()):
                return found
        return ""


class ItemReference(msgspec.Struct, kw_only=True):
    id: ranges.Label


Item: TypeAlias = Message | FunctionCall | FunctionCallOutput | CustomToolCall | CustomToolCallOutput | Reasoning
ITEMS: dict[str, type[Item]] = {
    "message": Message,
    "function_call": FunctionCall,
    "function_call_output": FunctionCallOutput,
    "custom_tool_call": CustomToolCall,
    "custom_tool_call_output": CustomToolCallOutput,
    "reasoning": Reasoning,
}
HOSTED = {
    *("file_search_call", "web_search_call", "computer_call", "computer_call_output", "image_generation_call"),
    *("code_interpreter_call", "local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output"),
    *("apply_patch_call", "apply_patch_call_output", "mcp_list_tools", "mcp_call", "mcp_approval_request"),
    *("mcp_approval_response", "tool_search_call", "tool_search_output", "program", "program_output"),
}
"""Items of tools that other servers run themselves: records, of which the model is told nothing."""
_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
}


class _Kind(msgspec.Struct):
    type: str | None = None
    role: Raw | UnsetType = UNSET
    id: Raw | UnsetType = UNSET


_kind = msgspec.json.Decoder(_Kind)
_decoders: dict[str, msgspec.json.Decoder[Item]] = {name: msgspec.json.Decoder(kind) for name, kind in ITEMS.items()}
_reference = msgspec.json.Decoder(ItemReference)


def identity(kind: str) -> str:
    """A new id for an item of this kind."""
    return f"{_PREFIXES[kind]}_{secrets.token_hex(24)}"


def read(given: str | list[Raw], find: Callable[[str], Item | None]) -> list[tuple[str, Item]]:
    """The items of `input`, each with its place in the request; `find` gives one that is kept, by its id.
    Raises RequestError naming the field."""
    if isinstance(given, str):
        return [("input", Message(role="user", content=given))]
    if len(given) > MAX_ITEMS:
        raise RequestError(f"'input' has more than {MAX_ITEMS} items", param="input", code="invalid_value")
    found: list[tuple[str, Item]] = []
    for index, source in enumerate(given):
        where = f"input[{index}]"
        if (item := _item(source, where, find)) is not None:
            found.append((where, item))
    return found


def _item(source: Raw, where: str, find: Callable[[str], Item | None]) -> Item | None:
    kind = _decoded(source, _kind, where)
    name = kind.type or ("item_reference" if kind.role is UNSET and kind.id is not UNSET else "message")
    if name in HOSTED:
        return None
    if name == "item_reference":
        wanted = _decoded(source, _reference, where).id
        if (item := find(wanted)) is None:
            raise RequestError(
                f"Item with id '{wanted}' not found: only items of responses that are kept can be referred to",
                status=404,
                param=f"{where}.id",
                code="item_not_found",
            )
        return item
    if name not in _decoders:
        raise unsupported(f"{where}.type", f"items are of type {', '.join(ITEMS)} or item_reference")
    return _decoded(source, _decoders[name], where)


def _decoded(source: Raw, decoder: msgspec.json.Decoder[T], where: str) -> T:
    try:
        return decoder.decode(source)
    except msgspec.ValidationError as error:
        raise misfit(str(error), where) from None
    except RecursionError:
        raise RequestError(f"'{where}' is nested too deeply", param=where, code="invalid_json") from None
    except UnicodeDecodeError:
        raise RequestError(f"'{where}' is not valid UTF-8", param=where, code="invalid_json") from None


def stored(item: Item) -> bytes:
    """The item as it is kept, with an id."""
    if not item.id:
        item = msgspec.structs.replace(item, id=identity(item.type))
    return msgspec.json.encode(msgspec.to_builtins(item) | {"type": item.type})


def restored(data: bytes) -> Item:
    return _decoders[_kind.decode(data).type or "message"].decode(data)


def shown(data: bytes) -> dict[str, Any]:
    """A kept item as the API lists it: a message's text as parts, a status, a summary where there may be one."""
    item: dict[str, Any] = msgspec.json.decode(data)
    if item["type"] == "message":
        kind = "output_text" if item["role"] == "assistant" else "input_text"
        content = item["content"]
        parts = [{"type": kind, "text": content}] if isinstance(content, str) else content
        item["content"] = [_shown_part(part, kind) for part in parts]
    elif item["type"] == "reasoning":
        item.setdefault("summary", [])
    if item["type"] != "reasoning":
        item.setdefault("status", "completed")
    return item


def _shown_part(part: dict[str, Any], kind: str) -> dict[str, Any]:
    if part["type"] in ("text", "input_text", "output_text"):
        return {"type": kind, "text": part.get("text") or ""} | ({"annotations": []} if kind == "output_text" else {})
    return {"detail": "auto"} | part if part["type"] == "input_image" else part


def sealed(text: str) -> str:
    """A thought as `encrypted_content`: readable by whoever gave it, and by this server when it comes back."""
    return _OURS + base64.b64encode(text.encode()).decode()


def unsealed(given: str | None) -> str:
    """The thought in a text that `sealed` made; "" for any other."""
    if given is None or not given.startswith(_OURS):
        return ""
    try:
        return base64.b64decode(given[len(_OURS) :], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
