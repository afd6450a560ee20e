"""The same messages in other forms, for templates that cannot take them as they are.

Some want a call's arguments as text, some know no system message, or only one at the beginning, some want the turns of
user and assistant to alternate. A template is first given what OpenAI's clients send.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

Messages = list[dict[str, Any]]
Change = Callable[[Messages], Messages]

_WANTS_ABSENT = re.compile(r"""assistant['"]\s+and\s+message\[['"]content['"]\]\s+is\s+none""")


def variants(messages: Messages) -> Iterator[Messages]:
    """Other forms of the messages, the nearest first; none twice, and none that is the original."""
    near: tuple[tuple[Change, ...], ...] = (
        (with_text_arguments,),
        (with_one_system,),
        (with_text_arguments, with_one_system),
        (without_system,),
        (with_text_arguments, without_system),
    )
    changes = (*near, *((*each, with_turns) for each in ((), *near)))
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


def hides_system(messages: Messages, rendered: str) -> bool:
    """Whether one of several system messages, or of one that is not the first message, is not in the text."""
    places = [place for place, message in enumerate(messages) if message.get("role") == "system"]
    if places in ([], [0]):
        return False
    return any(_text(messages[place].get("content")).strip() not in rendered for place in places)


def with_turns(messages: Messages) -> Messages:
    """What the user says in several messages, one after the other, in one: some templates want turns to alternate."""
    found: Messages = []
    for message in messages:
        if message.get("role") == "user" and found and found[-1].get("role") == "user":
            found[-1]["content"] = _both(found[-1].get("content"), message.get("content"))
        else:
            found.append(message)
    return found


def _both(first: Any, second: Any) -> Any:
    if isinstance(first, list) or isinstance(second, list):
        parts = (*_parts(first), {"type": "text", "text": "\n\n"}, *_parts(second))
        return list(parts)
    return f"{first or ''}\n\n{second or ''}"


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": str(content or "")}]


def with_absent_content(messages: Messages, template: str) -> Messages:
    """In place: calls without a text have no content at all, for a template that shows calls only of such messages
    (DeepSeek R1's)."""
    if _WANTS_ABSENT.search(template):
        for message in messages:
            if message.get("tool_calls") and not message.get("content"):
                message["content"] = None
    return messages


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
