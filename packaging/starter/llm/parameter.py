"""Parameters of tools: what they are called, what they hold, and how a user says the value."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..common.words import (
    ANIMALS,
    CITIES,
    COLOURS,
    DAYS,
    FIRST_NAMES,
    FOODS,
    INVENTED,
    OBJECTS,
    PLACES,
    Loose,
    number,
    sentence,
    word,
)
from .extract import date, email, order_number, phone


@dataclass(frozen=True)
class Parameter:
    """`clauses` are how a user says the value."""

    names: tuple[str, ...]
    kind: str
    about: str
    make: Callable[[random.Random, bool], Any]
    clauses: tuple[str, ...]
    choices: tuple[str, ...] = ()


_CHOICES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("unit", ("celsius", "fahrenheit", "kelvin")), ("units", ("metric", "imperial")), ("size", ("small", "medium", "large")), ("priority", ("low", "normal", "high", "urgent")),
    ("language", ("English", "French", "German", "Spanish", "Italian", "Chinese")), ("format", ("pdf", "csv", "json", "text")), ("mode", ("fast", "slow", "auto")),
    ("currency", ("euro", "dollar", "pound", "yen")), ("category", ("work", "home", "travel", "food")), ("order", ("ascending", "descending")),
)  # fmt: skip


def choice(rng: random.Random, held: bool) -> Parameter:
    """One of few values that the schema lists."""
    if rng.random() < 0.5:
        name, values = rng.choice(_CHOICES)
    else:
        name = rng.choice(("kind", "type", "style", "option", "group", "status", INVENTED.pick(rng, held)))
        values = tuple({word(rng, held): None for _ in range(rng.randint(2, 5))})
    return Parameter(
        (name,),
        "string",
        "The <n>(| to use)",
        lambda r, h: r.choice(values),
        ("(in|with <n>|with the <n>) <v>", "with the <n> <v>", "in <v>"),
        values,
    )


def _time(rng: random.Random, held: bool) -> str:
    return f"{rng.randint(0, 23):02d}:{rng.choice(('00', '15', '30', '45', '05', '20'))}"


def _title(rng: random.Random, held: bool) -> str:
    return (
        " ".join(word(rng, held) for _ in range(rng.randint(1, 3))).title() if rng.random() < 0.6 else word(rng, held)
    )


def _message(rng: random.Random, held: bool) -> str:
    return sentence(rng, held) if rng.random() < 0.7 else " ".join(word(rng, held) for _ in range(rng.randint(2, 5)))


PARAMETERS = (
    Parameter(("city", "location", "town", "place"), "string", "The (city|town|place)(| to use)", CITIES.pick, ("(in|for|near|of) <v>", "(in|for) <v>", "with the <n> <v>")),
    Parameter(("person", "name", "user", "customer"), "string", "The name of the (person|user|customer)", FIRST_NAMES.pick, ("(for|of) <v>", "by <v>", "with the <n> <v>")),
    Parameter(("recipient", "to", "receiver"), "string", "Who (gets|receives) it", FIRST_NAMES.pick, ("to <v>", "to <v>", "with <v> as the receiver")),
    Parameter(("date", "day"), "string", "The (date|day)", date, ("(on|for) <v>", "on <v>", "with the <n> <v>")),
    Parameter(("weekday", "day_of_week"), "string", "(The|A) day of the week", lambda r, h: r.choice(DAYS), ("(on|for|next) <v>", "on <v>")),
    Parameter(("time", "start_time", "at"), "string", "The time of day", _time, ("at <v>", "at <v>", "from <v> on")),
    Parameter(("minutes", "duration", "duration_minutes", "length_minutes"), "integer", "(The duration|How long|Length) in minutes", lambda r, h: number(r, h, 1, 180), ("for <v> minutes", "of <v> minutes", "for <v> minutes")),
    Parameter(("seconds", "delay_seconds"), "integer", "(The time|How long) in seconds", lambda r, h: number(r, h, 1, 300), ("for <v> seconds", "of <v> seconds")),
    Parameter(("amount", "quantity", "count", "number"), "integer", "How (many|much)", lambda r, h: number(r, h, 1, 500), ("with (the|an|a) <n> (of|) <v>", "<v> times", "(<n>|<n>:) <v>")),
    Parameter(("price", "cost", "budget", "max_price"), "number", "The (price|amount of money)", lambda r, h: number(r, h, 1, 900) if r.random() < 0.7 else number(r, h, 1, 300) + 0.5, ("for <v> (euros|dollars)", "at (a price|a cost) of <v>", "(up to|for) <v> dollars")),
    Parameter(("limit", "max_results", "top_k", "n"), "integer", "How many results", lambda r, h: number(r, h, 1, 60), ("(at most|only|up to) <v>(| results| of them)", "with a limit of <v>")),
    Parameter(("colour", "color"), "string", "The (colour|color)", Loose.of(COLOURS).pick, ("in <v>", "in the (colour|color) <v>", "(to|in) <v>")),
    Parameter(("query", "text", "keywords", "search"), "string", "(The text|What) to (look for|use)", lambda r, h: " ".join(word(r, h) for _ in range(r.randint(1, 3))), ('(for|about|with) "<v>"', "(for|about) <v>", 'with the <n> "<v>"')),
    Parameter(("message", "body", "content", "note"), "string", "The (message|text)", _message, ('(saying|with the <n>|that says|with the words) "<v>"', 'and (say|write): <v>', '"<v>"')),
    Parameter(("title", "subject", "label", "topic"), "string", "The (title|subject|label)", _title, ('(called|titled|with the <n>) "<v>"', "(called|named|titled) <v>", "with the <n> <v>")),
    Parameter(("email", "email_address", "address"), "string", "The mail address", email, ("(to|at|for) <v>", "with the <n> <v>")),
    Parameter(("phone", "phone_number"), "string", "The phone number", phone, ("(at|on|under) <v>", "with the number <v>")),
    Parameter(("order_id", "id", "ticket", "reference"), "string", "The (id|number|reference)", order_number, ("(with the <n>|number|no.) <v>", "<v>", "with (id|number) <v>")),
    Parameter(("room", "area", "zone"), "string", "The (room|place)", Loose.of(PLACES).pick, ("in the <v>", "of the <v>", "in the <v>")),
    Parameter(("item", "product", "object", "thing"), "string", "The (item|product)(| to use)", Loose.of(OBJECTS).pick, ("for (a|the) <v>", "with (a|the) <v>", "of (a|the) <v>")),
    Parameter(("food", "dish", "ingredient"), "string", "The (food|dish)", Loose.of(FOODS).pick, ("with <v>", "of <v>")),
    Parameter(("animal", "pet"), "string", "The animal", Loose.of(ANIMALS).pick, ("for (a|my|the) <v>", "of (a|the) <v>")),
    Parameter(("level", "volume", "brightness", "percent"), "integer", "The <n>, 0 to 100", lambda r, h: number(r, h, 0, 100), ("(to|at) <v>(| percent| %)", "(to|at) <v> percent", "to (level|a <n> of) <v>")),
    Parameter(("temperature", "degrees"), "number", "(The temperature|Degrees)", lambda r, h: number(r, h, -10, 40), ("(to|at) <v> degrees", "at <v> degrees")),
    Parameter(("url", "link"), "string", "The (address|URL) of the page", lambda r, h: f"https://{INVENTED.pick(r, h)}.{r.choice(('com', 'org', 'net'))}", ("(from|at|of) <v>", "with the <n> <v>")),
    Parameter(("file", "path", "filename"), "string", "The (file|name of the file)", lambda r, h: f"{INVENTED.pick(r, h)}.{r.choice(('txt', 'pdf', 'csv', 'md', 'json', 'png'))}", ("(from|in|of|for) <v>", "with the file <v>")),
)  # fmt: skip
INTO = Parameter(
    ("source", "origin", "from_city", "start"), "string", "Where (to start|it begins)", CITIES.pick, ("from <v>",)
)
GOAL = Parameter(
    ("destination", "target", "to_city", "goal"), "string", "Where (to go|it ends)", CITIES.pick, ("to <v>",)
)
