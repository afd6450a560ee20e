"""Parameters of tools: what they are called, what they hold, and how a user says the value."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from ...common.data import beside
from ...common.words import INVENTED, word
from ..exchange.values import Make, maker

_DATA = beside(__file__)


@dataclass(frozen=True)
class Parameter:
    """`clauses` are how a user says the value."""

    names: list[str]
    kind: str
    about: str
    make: Make
    clauses: list[str]
    choices: tuple[str, ...] = ()


def _read(found: dict[str, Any]) -> Parameter:
    return Parameter(found["names"], found["kind"], found["about"], maker(found["value"]), found["clauses"])


PARAMETERS = [_read(found) for found in _DATA["parameters"]]
START, GOAL = _read(_DATA["start"]), _read(_DATA["goal"])


def choice(rng: random.Random, held: bool) -> Parameter:
    """One of few values that the schema lists."""
    if rng.random() < 0.5:
        name, values = rng.choice(_DATA["choices"])
    else:
        name = rng.choice(("kind", "type", "style", "option", "group", "status", INVENTED.pick(rng, held)))
        values = {word(rng, held): None for _ in range(rng.randint(2, 5))}
    listed = tuple(values)
    clauses = ["(in|with <n>|with the <n>) <v>", "with the <n> <v>", "in <v>"]
    return Parameter([name], "string", "The <n>(| to use)", lambda r, h: r.choice(listed), clauses, listed)
