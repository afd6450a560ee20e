"""Tool calls: users' words that ask for one of the tools, and the turn that passes on what it returned."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from ...common.phrases import expand
from ...common.words import number, sentence, word
from ..exchange.wording import read
from ..sample import Check, Exchange
from .parameter import PARAMETERS
from .tools import Tool, written

_DATA, ASKS = read(Path(__file__).with_suffix(".toml"))


def request(rng: random.Random, held: bool, wanted: Tool, nouns_unique: bool = True) -> tuple[str, dict[str, Any]]:
    """What the user says to have a tool called, and the arguments that follow from it."""
    arguments: dict[str, Any] = {}
    clauses = []
    for key, kind in wanted.parameters:
        if key not in wanted.required and rng.random() < 0.4:
            continue
        value = kind.make(rng, held)
        arguments[key] = value
        said_value = str(value)
        if not held and isinstance(value, int) and 1 < value < 13 and rng.random() < 0.3:
            said_value = _DATA["numbers"][value - 2]
        known = key in kind.names and (held or rng.random() < 0.75)
        other = "with the <n> <v>" if held or known else rng.choice(_DATA["clauses"])
        clause = expand(rng, rng.choice(kind.clauses) if known else other)
        clauses.append(clause.replace("<n>", key.replace("_", " ")).replace("<v>", said_value))
    said = list(clauses)
    if len(said) > 1 and rng.random() < 0.5:
        rng.shuffle(said)
    joined = (" and " if rng.random() < 0.1 else " ").join(said) if rng.random() < 0.85 else ", ".join(said)
    by_noun = nouns_unique and wanted.verb in _DATA["asking_verbs"] and rng.random() < 0.5
    text = ASKS["noun_request" if by_noun else "request"].pick(rng, held)
    if by_noun and not held and wanted.thing in _DATA["hints"] and rng.random() < 0.4:
        text = expand(rng, _DATA["hints"][wanted.thing])
    text = text.replace("<v>", wanted.verb).replace("<t>", wanted.thing).replace("<c>", joined).strip()
    text = text.replace(" ,", ",").replace(" ?", "?").replace(" .", ".")
    text = text[:1].upper() + text[1:] if rng.random() < 0.85 else text
    if not held and text.endswith((".", "?", "!")):
        return text, arguments
    return text + rng.choice((".", "?", "", "!") if not by_noun else ("?", "?", "")), arguments


def _result(rng: random.Random, held: bool) -> tuple[str, str, list[str]]:
    """What a tool returns, the sentence that passes it on, and what must be in it."""
    roll = rng.random()
    if roll < 0.12:
        if rng.random() < 0.5:
            problem = rng.choice(_DATA["problems"])
        else:
            problem = f"{word(rng, held)} {rng.choice(_DATA['faults'])}"
        return (json.dumps({"error": problem}), f"That did not work: {problem}.", [problem])
    if roll < 0.27:
        text = sentence(rng, held) if rng.random() < 0.6 else f"{number(rng, held, 0, 9999)} {word(rng, held)}"
        return text, f"The result is: {text}", [text]
    values: dict[str, Any] = {}
    for _ in range(rng.choices((1, 2, 3, 4), (35, 35, 20, 10))[0]):
        kind = rng.random()
        if kind < 0.3:
            values[rng.choice(("status", "condition", "state", "result"))] = rng.choice(_DATA["conditions"])
        elif kind < 0.75:
            field = rng.choice(PARAMETERS)
            values[rng.choice(field.names)] = field.make(rng, held)
        else:
            values[word(rng, held).replace(" ", "_")] = rng.choice(
                (number(rng, held, 0, 9999), word(rng, held), rng.randint(0, 1) == 1)
            )
    parts = [
        f"the {key.replace('_', ' ')} is {json.dumps(value) if isinstance(value, bool) else value}"
        for key, value in values.items()
    ]
    said = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    return (
        json.dumps(values, ensure_ascii=False),
        said[0].upper() + said[1:] + ".",
        [str(value) for value in values.values() if not isinstance(value, bool)],
    )


def call(rng: random.Random, held: bool, box: list[Tool]) -> tuple[Exchange, list[tuple[Tool, dict[str, Any]]]]:
    """A request that ends in a call, now and then in two."""
    wanted = rng.choice(box)
    unique = sum(tool.thing == wanted.thing for tool in box) == 1
    text, arguments = request(rng, held, wanted, unique)
    calls = [(wanted, arguments)]
    if rng.random() < 0.12:
        second = rng.choice(box)
        more, further = request(rng, held, second, sum(tool.thing == second.thing for tool in box) == 1)
        if (second.name, further) != (wanted.name, arguments):
            joint = rng.choice((". Also ", " and then ", ". And ", ", and also ", ". Then "))
            text = text.rstrip(".?! ") + joint + more[:1].lower() + more[1:]
            calls.append((second, further))
    answer = "\n".join(written(tool.name, arguments) for tool, arguments in calls)
    thought = " ".join(f"The user wants to {tool.verb} {tool.thing}: {tool.name} fits." for tool, _ in calls)
    check: Check = ("calls", [(tool.name, arguments) for tool, arguments in calls])
    return Exchange("tool call", text, answer, thought, check, styled=False), calls


def report(rng: random.Random, held: bool, calls: int) -> tuple[list[str], Exchange]:
    """The results of calls, and the turn that tells the user."""
    results, sentences, needed = [], [], []
    for _ in range(calls):
        result, said, must = _result(rng, held)
        results.append(result)
        sentences.append(said)
        needed += must
    thought, check = "I pass on what the tool returned.", ("contains", tuple(needed))
    return results, Exchange("tool result", "", " ".join(sentences), thought, check, styled=False)
