"""Extraction: fields of a text, as one line of JSON."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from ...common.phrases import expand, expansions, plain
from ...common.words import FIRST_NAMES, number, sentence, word
from ..sample import Exchange
from .values import Make, maker
from .wording import with_text, wordings

Value = str | int | float
_DATA, ASKS = wordings("extract")


@dataclass(frozen=True)
class Field:
    """`clauses` say the value in passing: they follow "the customer" or stand alone.

    `kept` are those that only the evaluation says, to be compared.
    """

    names: list[str]
    make: Make
    clauses: list[str]
    held_clauses: list[str]
    kept: list[str]


FIELDS = [
    Field(
        found["names"],
        maker(found["value"]),
        found["clauses"],
        found["held_clauses"],
        [plain(text) for pattern in found["held_clauses"] for text in expansions(pattern)],
    )
    for found in _DATA["fields"]
]


def _key(name: str, rng: random.Random) -> str:
    roll = rng.random()
    if "_" in name and roll < 0.2:
        head, *tail = name.split("_")
        return head + "".join(part.capitalize() for part in tail)
    return name


def _clause(rng: random.Random, held: bool, field: Field, key: str, value: Value) -> str:
    if held:
        patterns = field.held_clauses if rng.random() < 0.5 else field.clauses
    else:
        patterns = field.clauses if rng.random() < 0.85 else _DATA["plain"]
    text = expand(rng, patterns[int(rng.random() * len(patterns))].replace("(<k>", "<k>"))
    return text.replace("<k>", key.replace("_", " ")).replace("<v>", str(value))


def _record(rng: random.Random, held: bool) -> tuple[str, dict[str, Value]]:
    values: dict[str, Value] = {}
    clauses: list[str] = []
    for field in rng.sample(FIELDS, rng.randint(2, 6)):
        value = field.make(rng, held)
        key = rng.choice(field.names)
        clause = _clause(rng, held, field, key, value)
        while not held and any(kept in plain(clause.replace(str(value), "<v>")) for kept in field.kept):
            clause = _clause(rng, held, field, key, value)
        values[_key(key, rng)] = value
        clauses.append(clause)
    if not held and rng.random() < 0.15:
        clauses.insert(
            rng.randint(0, len(clauses)), rng.choice(_DATA["side"]) if rng.random() < 0.5 else sentence(rng, False)
        )
    joint = rng.choice((", ", ". ", ", ", "; ", " and ", "\n"))
    text = clauses[0]
    for clause in clauses[1:]:
        if not held and rng.random() < 0.15:
            joint = rng.choice((", ", ". ", " and ", "; ", " - ", ", and ", ". Also, ", " but "))
        text += joint + (clause[:1].upper() + clause[1:] if joint == ". " else clause)
    if rng.random() < 0.25:
        opening = sentence(rng, held)
        text = opening[:1].upper() + opening[1:] + ". " + text
    return text[:1].upper() + text[1:] + rng.choice((".", "", "!", ".")), values


def _pairs(rng: random.Random, held: bool) -> tuple[str, dict[str, Value]]:
    """Keys and values of no meaning: only their places tell which belongs to which."""
    values: dict[str, Value] = {}
    for _ in range(rng.randint(2, 6)):
        key = word(rng, held).replace(" ", "_")
        if not held and rng.random() < 0.2:
            key += "_" + word(rng, False)
        elif not held and rng.random() < 0.3:
            key = rng.choice(rng.choice(FIELDS).names)
        one, name, figure = word(rng, held), FIRST_NAMES.pick(rng, held), number(rng, held, 0, 9999)
        values[key] = rng.choice((one, name, figure, f"{word(rng, held)} {word(rng, held)}"))
    template = rng.choice(_DATA["pairs"])
    if not held and rng.random() < 0.4:
        template = rng.choice(_DATA["plain"])
    joint = rng.choice(("; ", ", ", "\n", ". "))
    said = (template.replace("<k>", k.replace("_", " ")).replace("<v>", str(v)) for k, v in values.items())
    return joint.join(said), values


def _named(rng: random.Random, names: list[str]) -> str:
    roll = rng.random()
    quote = '"' if 0.75 <= roll < 0.85 or roll >= 0.95 else "`" if 0.85 <= roll < 0.9 else ""
    quoted = [f"{quote}{name}{quote}" for name in names]
    if roll < 0.5 or roll >= 0.95:
        return ", ".join(quoted[:-1]) + (" and " if len(names) > 1 else "") + quoted[-1]
    listed = ", ".join(quoted)
    return f"[{listed}]" if roll >= 0.9 else listed


def extract(rng: random.Random, held: bool) -> Exchange:
    text, values = _record(rng, held) if rng.random() < 0.72 else _pairs(rng, held)
    names = list(values)
    rng.shuffle(names)
    names = names[: rng.randint(1, len(names))] if rng.random() < 0.5 else names
    wanted: dict[str, Value | None] = {name: values[name] for name in names}
    if rng.random() < (0.1 if held else 0.15):
        absent = rng.choice(FIELDS).names[0]
        siblings = next(field.names for field in FIELDS if field.names[0] == absent)
        if not any(name in values for name in siblings):
            wanted[absent] = None
    quote = rng.choice(('"<x>"', "<x>", "<x>", "'<x>'", "<x>")) if not held else rng.choice(('"<x>"', "<x>", "<x>"))
    wording = with_text(rng, ASKS["fields"].pick(rng, held))
    empty = json.dumps(dict.fromkeys(wanted, ""))
    asked = wording.replace("<f>", _named(rng, list(wanted))).replace("<e>", empty)
    asked = asked.replace("<x>", quote.replace("<x>", text))
    answer = json.dumps(wanted, ensure_ascii=False)
    return Exchange("extract JSON", asked, answer, f"Fields: {', '.join(wanted)}.", ("json", wanted), styled=False)
