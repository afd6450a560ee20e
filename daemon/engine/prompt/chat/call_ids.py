"""Ids of calls in a history, as some templates want them: Mistral's of nine letters, Kimi K2's of name and number.

https://github.com/MoonshotAI/Kimi-K2/blob/main/docs/tool_call_guidance.md
"""

from __future__ import annotations

import hashlib
import re
import string
from typing import Any

Messages = list[dict[str, Any]]

_LETTERS = string.ascii_letters + string.digits
_SHORT = re.compile(r"[A-Za-z0-9]{9}")
_WANTS_SHORT = re.compile(r"\blength\s*!=\s*9\b")
_NUMBERED = "<|tool_calls_section_begin|>"
_FROM_NOUGHT = re.compile(r"'functions\.'.*loop\.index0")


def with_ids(messages: Messages, template: str) -> Messages:
    """In place: the ids that the template wants, or those that were given."""
    if _WANTS_SHORT.search(template):
        return with_short_ids(messages)
    return with_numbered_ids(messages, template) if _NUMBERED in template else messages


def with_short_ids(messages: Messages) -> Messages:
    """In place: ids of nine letters; a call or result without one gets one."""
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


def with_numbered_ids(messages: Messages, template: str) -> Messages:
    """Kimi K2 names a call `functions.NAME:NUMBER` and its result by the same: the number counts through the
    conversation, in its first template through a message. Results come in the order of their calls, for its later
    templates count on it."""
    restarts = _FROM_NOUGHT.search(template) is not None
    names: dict[str, str] = {}
    waiting: list[str] = []
    count = 0
    for message in messages:
        if message.get("tool_calls"):
            count, waiting = 0 if restarts else count, []
        for call in message.get("tool_calls") or ():
            function = call.get("function", call)
            name = f"functions.{function.get('name')}:{count}"
            if call.get("id"):
                names[str(call["id"])] = name
            call["id"] = name
            waiting.append(name)
            count += 1
        if message.get("role") == "tool":
            given = names.get(str(message.get("tool_call_id")), waiting[0] if waiting else None)
            if given is not None:
                message["tool_call_id"] = given
                waiting = [each for each in waiting if each != given]
    return _in_order(messages)


def _in_order(messages: Messages) -> Messages:
    """Each run of results in the order of the calls before it."""
    ordered: Messages = []
    places: dict[str, int] = {}
    run: Messages = []
    for message in [*messages, {}]:
        if message.get("role") == "tool":
            run.append(message)
            continue
        ordered += sorted(run, key=lambda each: places.get(str(each.get("tool_call_id")), len(places)))
        run = []
        if message.get("tool_calls"):
            places = {str(call["id"]): place for place, call in enumerate(message["tool_calls"])}
        ordered.append(message)
    return ordered[:-1]
