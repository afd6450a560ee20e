"""The items of a conversation as messages that chat templates expect.

What the assistant did between two inputs is one message, whatever the number of items: its thoughts, text and calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from ..decode import unsupported
from ..failure import RequestError
from ..pictures.request_pictures import RequestPictures
from ..ranges import plain
from .callable_tools import CallableTools
from .input_items import CustomToolCall, Detail, FunctionCall, Item, Message, Part, Reasoning
from .refusals import missing

_TEXTS = ("input_text", "output_text", "text", "reasoning_text", "summary_text")
_SEEING = ("user", "tool")


class ItemMessages:
    """Collects the messages; `pictures` collects what is seen in them."""

    def __init__(self, tools: CallableTools, pictures: RequestPictures) -> None:
        self.messages: list[dict[str, Any]] = []
        self._tools = tools
        self._pictures = pictures
        self._called: dict[str, str] = {}

    def instruct(self, text: str) -> None:
        """What the system says; at the beginning it is one message."""
        self._system(text)

    def add(self, items: Iterable[tuple[str, Item]]) -> None:
        """Items, each with its place in the request. Raises RequestError naming the field."""
        for where, item in items:
            if isinstance(item, Message):
                self._message(item, where)
            elif isinstance(item, FunctionCall | CustomToolCall):
                self._call(item, where)
            elif isinstance(item, Reasoning):
                if text := item.text:
                    self._assistant("thinking", text)
            else:
                content = self._content(item.output, f"{where}.output", "tool")
                result = {"role": "tool", "content": content, "tool_call_id": item.call_id}
                name = self._called.get(item.call_id)
                self.messages.append(result | ({"tool_name": name} if name else {}))

    def _message(self, item: Message, where: str) -> None:
        role = "system" if item.role == "developer" else item.role
        param = "input" if where == "input" else f"{where}.content"
        content = self._content(item.content, param, role)
        if role == "assistant":
            self._assistant("content", str(content))
        elif role == "system":
            self._system(str(content))
        else:
            self.messages.append({"role": role, "content": content})

    def _system(self, text: str) -> None:
        if len(self.messages) == 1 and self.messages[0]["role"] == "system":
            self.messages[0]["content"] += f"\n\n{text}"
        else:
            self.messages.append({"role": "system", "content": text})

    def _assistant(self, field: Literal["content", "thinking"], text: str) -> None:
        message = self._turn()
        message[field] = f"{message[field]}\n\n{text}" if message.get(field) else text

    def _turn(self) -> dict[str, Any]:
        if not self.messages or self.messages[-1]["role"] != "assistant":
            self.messages.append({"role": "assistant", "content": ""})
        return self.messages[-1]

    def _call(self, item: FunctionCall | CustomToolCall, where: str) -> None:
        name = self._tools.offered_name(item.name, item.namespace)
        self._called[item.call_id] = name
        arguments = {"input": item.input} if isinstance(item, CustomToolCall) else _arguments(item, where)
        call = {"type": "function", "id": item.call_id, "function": {"name": name, "arguments": arguments}}
        self._turn().setdefault("tool_calls", []).append(call)

    def _content(self, given: str | list[Part], where: str, role: str) -> str | list[dict[str, Any]]:
        """Text; where there are pictures, parts."""
        if isinstance(given, str):
            return given
        if not any(part.type == "input_image" for part in given):
            return "".join(_text(part, f"{where}[{index}]") for index, part in enumerate(given))
        parts: list[dict[str, Any]] = []
        for index, part in enumerate(given):
            param = f"{where}[{index}]"
            if part.type == "input_image":
                parts.append(self._picture(part, param, role))
            elif parts and parts[-1]["type"] == "text":
                parts[-1]["text"] += _text(part, param)
            elif text := _text(part, param):
                parts.append({"type": "text", "text": text})
        return parts

    def _picture(self, part: Part, where: str, role: str) -> dict[str, Any]:
        if role not in _SEEING:
            raise unsupported(
                f"{where}.type", f"pictures may be in messages of the role user and in what tools give, not {role}"
            )
        if part.file_id:
            raise unsupported(f"{where}.file_id", "no files are stored here; send the picture as 'image_url'")
        if not part.image_url:
            raise missing(f"{where}.image_url")
        return self._pictures.add_url(part.image_url, f"{where}.image_url", _closeness(part.detail))


def _text(part: Part, where: str) -> str:
    if part.type == "refusal":
        text = part.refusal
    elif part.type in _TEXTS:
        text = part.text
    else:
        raise unsupported(f"{where}.type", "parts are of type input_text, output_text, refusal or input_image")
    if text is None:
        raise missing(f"{where}.{'refusal' if part.type == 'refusal' else 'text'}")
    return text


def _closeness(detail: Detail | None) -> Literal["low", "high"] | None:
    if detail == "original":
        return "high"
    return None if detail == "auto" else detail


def _arguments(item: FunctionCall, where: str) -> dict[str, Any]:
    param = f"{where}.arguments"
    try:
        return plain(msgspec.json.decode(item.arguments or "{}", type=dict[str, Any]), param)
    except (msgspec.DecodeError, RecursionError):
        raise RequestError(
            f"invalid tool call arguments: '{param}' must be the JSON text of an object",
            param=param,
            code="invalid_value",
        ) from None
