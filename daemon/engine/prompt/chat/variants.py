"""The same messages in other forms, for templates that cannot take them as they are.

Some want a call's arguments as text, some know no system message, or only one at the beginning, some want ids of nine
letters. A template is first given what OpenAI's clients send.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
import string
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Messages = list[dict[str, Any]]
Change = Callable[[Messages], Messages]

_LETTERS = string.ascii_letters + string.digits
_SHORT = re.compile(r"[A-Za-z0-9]{9}")
_WANTS_SHORT = re.compile(r"\blength\s*!=\s*9\b")


def variants(messages: Messages) -> Iterator[Messages]:
    """Other forms of the messages, the nearest first; none twice, and none that is the original."""
    changes: tuple[Sequence[Change], ...] = (
        (with_text_arguments,),
        (with_one_system,),
        (with_text_arguments, with_one_system),
        (without_system,),
        (with_text_arguments, without_system),
    )
    given = [messages]
    for each in changes:
        changed = copy.deepcopy(messages)
        for change in each:
            changed = change(changed)
        if changed not in given:
            given.append(changed)
            yield changed


def with_text_arguments(messages: Messages) -> Messages:
    """In place: the arguments of calls as JSON text."""
    for function in _functions(messages):
        if isinstance(function.get("arguments"), dict):
            function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
    return messages


def shows_python(messages: Messages, rendered: str) -> bool:
    """Whether a template wrote arguments as Python shows a dictionary, for it takes them to be text."""
    given = [function.get("arguments") for function in _functions(messages)]
    return any(
        isinstance(each, dict) and bool(each) and str(each) in rendered and json.dumps(each) != str(each)
        for each in given
    )


def with_one_system(messages: Messages) -> Messages:
    """All system messages as one, at the beginning."""
    systems, others = _parted(messages)
    if not systems:
        return messages
    return [{"role": "system", "content": _joined(systems)}, *others]


def without_system(messages: Messages) -> Messages:
    """What the system messages say in front of the first message of the user."""
    systems, others = _parted(messages)
    if not systems:
        return messages
    text = _joined(systems)
    for message in others:
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                message["content"] = [{"type": "text", "text": text + "\n\n"}, *content]
            else:
                message["content"] = f"{text}\n\n{content or ''}"
            return others
    return [{"role": "user", "content": text}, *others]


def with_short_ids(messages: Messages, template: str) -> Messages:
    """In place: ids of nine letters, for a template that refuses others; a call or result without one gets one."""
    if not _WANTS_SHORT.search(template):
        return messages
    waiting: list[str] = []
    count = 0
    for message in messages:
        for call in message.get("tool_calls") or ():
            call["id"] = _short(str(call.get("id") or f"call {count}"))
            waiting.append(call["id"])
            count += 1
        if message.get("role") == "tool":
            given = message.get("tool_call_id")
            message["tool_call_id"] = _short(str(given)) if given else (waiting[0] if waiting else _short("none"))
            if message["tool_call_id"] in waiting:
                waiting.remove(message["tool_call_id"])
    return messages


def _short(name: str) -> str:
    if _SHORT.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "replace")).digest()
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:9])


def _functions(messages: Messages) -> Iterator[dict[str, Any]]:
    for message in messages:
        for call in message.get("tool_calls") or ():
            function = call.get("function", call)
            if isinstance(function, dict):
                yield function


def _parted(messages: Messages) -> tuple[Messages, Messages]:
    systems = [message for message in messages if message.get("role") == "system"]
    return systems, [message for message in messages if message.get("role") != "system"]


def _joined(systems: Messages) -> str:
    return "\n\n".join(_text(message.get("content")) for message in systems)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")
