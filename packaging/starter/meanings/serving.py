"""mlx-serve as a domain: its facts as passages, and the questions that each answers."""

from __future__ import annotations

import random

from ..common.data import beside
from ..common.phrases import Phrases, expand, plain
from ..llm.asked import KEPT
from ..llm.exchange.facts import Fact
from ..llm.exchange.talk import reworded

_NAMED, _TASKS = (Phrases(**found) for found in beside(__file__)["asks"].values())


def ask(rng: random.Random, fact: Fact, held: bool) -> str:
    """A question that training never sees has a held frame or is held as a whole."""
    ways = [("ask", fact.held_asks if held else fact.asks), ("name", fact.names), ("task", fact.tasks)]
    if held:
        ways += [("held name", fact.held_names), ("held task", fact.held_tasks)]
    kind, patterns = rng.choice([way for way in ways if way[1]])
    text = expand(rng, rng.choice(patterns))
    if kind != "ask":
        frames = _NAMED if kind.endswith("name") else _TASKS
        frame = frames.pick(rng, held if not kind.startswith("held") else rng.random() < 0.3)
        text = frame.replace("<x>", text)
    if not held and rng.random() < 0.4:
        text = reworded(rng, text)
    return ask(rng, fact, held) if plain(text) in KEPT else text


def key(fact: Fact) -> str:
    return "mlx-serve " + fact.answer
