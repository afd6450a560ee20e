"""What a request's thinking and tools are called by the model's own chat template."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

Thinking = bool | Literal["low", "medium", "high"] | None

_SWITCHES = ("enable_thinking", "thinking", "reasoning")
"""Variables that turn thinking on and off; templates read one of them, and ignore the others."""
_BUDGETS: dict[Any, int] = {False: 0, "low": 512, "medium": 2048}
"""Tokens of thought that Seed-OSS's template announces."""


def thinking_variables(
    thinking: Thinking, known: Collection[str], efforts: Mapping[str, str], budget: int | None = None
) -> dict[str, Any]:
    """What tells the template whether to think, how hard and, where it announces that, for how many tokens (`budget`).
    `known` are the variables that it reads, `efforts` its own words for low, medium, high and, where a model cannot do
    without thinking, for off (`none`); "" leaves it out."""
    announced = {"thinking_budget": budget} if budget is not None and "thinking_budget" in known else {}
    if thinking is None:
        return announced
    on = bool(thinking)
    found: dict[str, Any] = {"enable_thinking": on}
    found |= {name: on for name in _SWITCHES if name in known}
    effort: str = thinking if isinstance(thinking, str) else "" if on else "none"
    if effort == "none" and effort not in efforts:
        effort = "low" if "reasoning_effort" in known and not set(_SWITCHES) & set(known) else ""
    effort = efforts.get(effort, effort)
    if effort:
        found["reasoning_effort"] = effort
    if "thinking_budget" in known and thinking in _BUDGETS:
        found["thinking_budget"] = _BUDGETS[thinking]
    return found | announced


def tool_variables(tools: Sequence[Mapping[str, Any]], known: Collection[str]) -> dict[str, Any]:
    """For a template that takes the tools under a name of its own: SmolLM3's as they are, Firefunction's as text."""
    if "xml_tools" in known and "tools" not in known:
        return {"xml_tools": list(tools) or None}
    if "functions" not in known:
        return {}
    found: dict[str, Any] = {"functions": json.dumps(list(tools), indent=4, ensure_ascii=False)}
    if "datetime" in known:
        found["datetime"] = datetime.now().strftime("%B %d, %Y %H:%M:%S")
    return found
