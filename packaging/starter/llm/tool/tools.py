"""Tools: functions put together from verbs, nouns and parameters, and how a call of one is written."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common.phrases import expand
from ...common.words import COMMON, INVENTED, OBJECTS, REAL, Words
from ..exchange.wording import read
from ..sample import Message
from .parameter import GOAL, PARAMETERS, START, Parameter, choice

_DATA, ASKS = read(Path(__file__).with_suffix(".toml"))
_VERBS, _THINGS = Words.split(_DATA["verbs"]), Words.split(_DATA["things"])


@dataclass(frozen=True)
class Tool:
    verb: str
    thing: str
    name: str
    parameters: tuple[tuple[str, Parameter], ...]
    required: tuple[str, ...]
    schema: dict[str, Any]


def _named(rng: random.Random, held: bool, verb: str, thing: str) -> str:
    """The spellings that programmers use; now and then with a word that nobody says."""
    parts = [*verb.split(" "), *thing.split(" ")]
    if not held and rng.random() < 0.12:
        parts.insert(len(verb.split(" ")), rng.choice(_DATA["kinds"]))
    roll = rng.random()
    if roll < 0.7:
        return "_".join(parts)
    if roll < 0.85:
        return parts[0] + "".join(part.capitalize() for part in parts[1:])
    if roll < 0.93:
        return "_".join(thing.split(" ")) + "_" + "_".join(verb.split(" "))
    if held or roll >= 0.96:
        return "-".join(parts)
    if roll < 0.935:
        return "_".join(parts).upper()
    return ".".join(parts) if roll < 0.95 else "".join(part.capitalize() for part in parts)


def tool(rng: random.Random, held: bool, like: tuple[str, str] = ("", "")) -> Tool:
    """An evaluation tool has a held noun, invented or real; verbs are shared, for meaning hangs on them."""
    verb = _VERBS.pick(rng, held and rng.random() < 0.3).replace("_", " ")
    if not held and rng.random() < 0.12:
        verb = (COMMON if rng.random() < 0.7 else INVENTED).pick(rng, False)
    if rng.random() < (0.75 if held else 0.55):
        things = _THINGS
    else:
        things = INVENTED if rng.random() < 0.6 else OBJECTS if held or rng.random() < 0.3 else REAL
    thing = things.pick(rng, held).replace("_", " ")
    if rng.random() < 0.15:
        thing = f"{INVENTED.pick(rng, held)} {thing}"
    verb, thing = like[0] or verb, like[1] or thing
    name = _named(rng, held, verb, thing)
    count = rng.choices((0, 1, 2, 3, 4), (6, 34, 34, 20, 6))[0]
    kinds = rng.sample(PARAMETERS, count)
    if rng.random() < 0.12:
        kinds.append(choice(rng, held))
    if rng.random() < 0.06:
        kinds = [*kinds[:1], START, GOAL]
    chosen: list[tuple[str, Parameter]] = []
    for kind in kinds:
        key = rng.choice(kind.names)
        if rng.random() < (0.06 if held else 0.15):
            key = INVENTED.pick(rng, held)
            if not held and rng.random() < 0.4:
                key = f"{COMMON.pick(rng, False)}_{key}" if rng.random() < 0.5 else COMMON.pick(rng, False)
        if key not in dict(chosen):
            chosen.append((key, kind))
    required = tuple(key for i, (key, _) in enumerate(chosen) if i == 0 or rng.random() < 0.6)
    properties = {}
    for key, kind in chosen:
        schema: dict[str, Any] = {"type": kind.kind}
        if kind.choices:
            schema["enum"] = list(kind.choices)
        if rng.random() < 0.7 or key not in kind.names:
            about = kind.about if held or rng.random() < 0.6 else rng.choice(_DATA["parameter_about"])
            schema["description"] = expand(rng, about.replace("<n>", key.replace("_", " ")))
        properties[key] = schema
    function: dict[str, Any] = {"name": name}
    if rng.random() < 0.85:
        about = (
            ASKS["about"].pick(rng, held).replace("<V>", verb.capitalize()).replace("<v>", verb).replace("<t>", thing)
        )
        function["description"] = about
    function["parameters"] = {"type": "object", "properties": properties}
    if required or rng.random() < 0.3:
        function["parameters"]["required"] = list(required)
    return Tool(verb, thing, name, tuple(chosen), required, {"type": "function", "function": function})


def toolbox(rng: random.Random, held: bool, count: int) -> list[Tool]:
    """Tools with different names; some differ in the verb alone."""
    box: list[Tool] = []
    while len(box) < count:
        like = ("", "")
        if not held and box and rng.random() < 0.2:
            like = (box[0].verb, "") if rng.random() < 0.5 else ("", box[0].thing)
        made = tool(rng, held, like)
        if all(made.name != other.name and (made.verb, made.thing) != (other.verb, other.thing) for other in box):
            box.append(made)
    return box


def written(name: str, arguments: dict[str, Any]) -> str:
    """One call in Hermes form, as the chat template writes it."""
    return f'<tool_call>\n{{"name": "{name}", "arguments": {json.dumps(arguments, ensure_ascii=False)}}}\n</tool_call>'


def called(name: str, arguments: dict[str, Any]) -> Message:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}
