"""What the starter knows about mlx-serve, read from facts/: each fact has one answer and many ways to ask for it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ...common.data import filled, load

_FOLDER = Path(__file__).parent / "facts"
_PARTS = ("program", "daemon", "models", "running", "settings", "http")
_LISTS = ("must", "names", "tasks", "asks", "held_names", "held_tasks", "held_asks")


@dataclass(frozen=True)
class Fact:
    """`names` finish "What is …?", `tasks` finish "How do I …?", `asks` are whole questions.

    `held_*` are for the evaluation alone; `must` are the words without which an answer is wrong; `short` is the
    answer in one word, where there is one.
    """

    answer: str
    must: tuple[str, ...]
    names: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    held_names: tuple[str, ...] = ()
    held_tasks: tuple[str, ...] = ()
    held_asks: tuple[str, ...] = ()
    short: str | None = None


def _fact(found: dict[str, Any], frames: dict[str, Any]) -> Fact:
    """With what the frame of its kind says about all of them, which stands before its own."""
    frame = filled(frames[found["kind"]], found) if "kind" in found else {}
    lists = {name: (*frame.get(name, ()), *found.get(name, ())) for name in _LISTS}
    return Fact(answer=found.get("answer") or frame["answer"], short=found.get("short"), **lists)


def _read() -> list[Fact]:
    frames = load(_FOLDER / "frames.toml")
    return [_fact(found, frames) for part in _PARTS for found in load(_FOLDER / f"{part}.toml")["facts"]]


FACTS = _read()


def _words(fact: Fact) -> set[str]:
    return set(re.findall(r"[a-z]{3,}", " ".join((fact.answer, *fact.names, *fact.tasks, *fact.asks)).lower()))


@cache
def _said() -> tuple[list[set[str]], Counter[str]]:
    """The words around each fact, and around how many each stands."""
    words = [_words(fact) for fact in FACTS]
    return words, Counter(word for each in words for word in each)


@cache
def alike(at: int, count: int = 16) -> tuple[int, ...]:
    """The other facts that share most words with this one; a rare word counts more."""
    words, known = _said()
    shared = {
        i: sum(1 / known[word] for word in words[at] & other) / (4 + len(other)) ** 0.5
        for i, other in enumerate(words)
        if FACTS[i].answer != FACTS[at].answer
    }
    return tuple(sorted(shared, key=shared.__getitem__, reverse=True)[:count])
