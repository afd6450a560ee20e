"""Whether an answer is right: the think block as asked, and then by the kind of check."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from .sample import Check, Sample

_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)


@dataclass(frozen=True)
class Grade:
    """`thought` is whether the think block was there when asked for and absent when not."""

    right: bool
    thought: bool
    ended: bool
    named: bool | None  # for calls alone: every call parses and names the right tool


def calls(text: str) -> list[tuple[str, Any]] | None:
    """The tool calls of an answer, or None when one does not parse."""
    found = []
    for body in _CALL.findall(text):
        try:
            call = json.loads(body)
            found.append((call["name"], call["arguments"]))
        except (ValueError, KeyError, TypeError):
            return None
    return found


def _same(text: str) -> str:
    return " ".join(text.split())


def passes(check: Check, answer: str) -> bool:
    kind, wanted = check
    if kind == "exact":
        return _same(answer) == _same(wanted)
    if kind == "contains":
        return all(_same(part).lower() in _same(answer).lower() for part in wanted)
    if kind == "number":
        numbers = re.findall(r"-?\d+(?:\.\d+)?", answer)
        return bool(numbers) and float(numbers[-1]) == wanted
    if kind == "json":
        try:
            return bool(json.loads(answer) == wanted)
        except ValueError:
            return False
    return calls(answer) == [(name, arguments) for name, arguments in wanted]


def grade(sample: Sample, text: str, ended: bool) -> Grade:
    """`text` is all that the model wrote after the prompt, markers included, without `<|im_end|>`."""
    answer = text
    if sample.thinking:
        thought = text.startswith("<think>\n") and text.count("</think>") == 1
        answer = text.split("</think>")[-1]
    else:
        thought = "<think>" not in text and "</think>" not in text
    answer = answer.strip()
    named = None
    if sample.check[0] == "calls":
        named = [name for name, _ in calls(answer) or []] == [name for name, _ in sample.check[1]]
    return Grade(passes(sample.check, answer), thought, ended, named)
