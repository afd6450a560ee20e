"""mlx-serve as a domain: its facts as passages, and the questions that each answers."""

from __future__ import annotations

import random
import re
from functools import cache

from ..common.data import beside
from ..common.phrases import Phrases, expand
from ..llm.exchange.facts import FACTS, Fact

_NAMED, _TASKS = (Phrases(**found) for found in beside(__file__)["asks"].values())


def ask(rng: random.Random, fact: Fact, held: bool) -> str:
    """A question that training never sees has a held frame or is held as a whole."""
    ways = [("ask", fact.held_asks if held else fact.asks), ("name", fact.names), ("task", fact.tasks)]
    if held:
        ways += [("held name", fact.held_names), ("held task", fact.held_tasks)]
    kind, patterns = rng.choice([way for way in ways if way[1]])
    text = expand(rng, rng.choice(patterns))
    if kind == "ask":
        return text
    frames = _NAMED if kind.endswith("name") else _TASKS
    frame = frames.pick(rng, held if not kind.startswith("held") else rng.random() < 0.3)
    return frame.replace("<x>", text)


def key(fact: Fact) -> str:
    return "mlx-serve " + fact.answer


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]{3,}", text.lower()))


@cache
def alike(at: int, count: int = 16) -> tuple[int, ...]:
    """The other facts that share most words with this one."""
    own = _words(FACTS[at].answer)
    shared = {
        i: len(own & words) / (4 + len(words))
        for i, other in enumerate(FACTS)
        if other.answer != FACTS[at].answer and (words := _words(other.answer))
    }
    return tuple(sorted(shared, key=shared.__getitem__, reverse=True)[:count])
