"""Questions of the evaluation that were written by hand: no grammar of training makes their sentences."""

from __future__ import annotations

import json
from typing import Any

from ..common.data import beside
from ..common.phrases import plain
from .exchange.facts import FACTS, Fact
from .sample import Check, Sample
from .tool.tools import called

_DATA = beside(__file__)


def _fact(start: str) -> Fact:
    found = [fact for fact in FACTS if fact.answer.startswith(start)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} facts begin with {start!r}")
    return found[0]


def _sample(number: int, task: str, found: dict[str, Any], check: Check, answer: str) -> Sample:
    told = [{"role": "system", "content": found["system"]}] if "system" in found else []
    tools = [
        {"type": "function", "function": {"name": name, **json.loads(_DATA["tools"][name])}}
        for name in found.get("tools", ())
    ]
    final: dict[str, Any] = {"role": "assistant", "content": answer}
    if check[0] == "calls":
        final["tool_calls"] = [called(name, arguments) for name, arguments in check[1]]
    messages = [*told, {"role": "user", "content": found["asked"]}, final]
    return Sample(task, messages, tools, number % 2 == 1, check)


def _pairs(name: str) -> list[tuple[Fact, str]]:
    return [(_fact(start), text) for start, texts in _DATA[name].items() for text in texts]


OF_FACTS, PLAIN = _pairs("facts"), _pairs("plain")
KEPT = frozenset(plain(text) for _, text in (*OF_FACTS, *PLAIN))  # training says none of these


def _of_facts(task: str, pairs: list[tuple[Fact, str]]) -> list[Sample]:
    return [
        _sample(i, task, {"asked": text}, ("contains", fact.must), fact.answer) for i, (fact, text) in enumerate(pairs)
    ]


def _others(task: str) -> list[Sample]:
    samples = []
    for i, found in enumerate(_DATA["others"]):
        kind = next(kind for kind in ("calls", "number", "exact", "contains") if kind in found)
        wanted = [(name, arguments) for name, arguments in found["calls"]] if kind == "calls" else found[kind]
        answer = "" if kind == "calls" else " ".join(wanted) if kind == "contains" else str(wanted)
        samples.append(_sample(i, task, found, (kind, wanted), answer))
    return samples


SAMPLES = {
    "asked of mlx-serve": _of_facts("asked of mlx-serve", OF_FACTS),
    "asked plainly": _of_facts("asked plainly", PLAIN),
    "asked otherwise": _others("asked otherwise"),
}
