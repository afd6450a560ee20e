"""Values of fields, parameters and topics, by the names that their files call them by."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from ...common import words
from ...common.words import Loose, full_name, number, sentence, title, word

Make = Callable[[random.Random, bool], Any]
_CAPITALS = "ABCDEFGHKMNPRSTXYZ"


def _email(rng: random.Random, held: bool) -> str:
    person = words.FIRST_NAMES.pick(rng, held).lower() + rng.choice(("", str(number(rng, held, 10, 99))))
    return f"{person}@{words.INVENTED.pick(rng, held)}.{rng.choice(('com', 'org', 'net', 'de', 'io'))}"


def _phone(rng: random.Random, held: bool) -> str:
    return f"+{rng.randint(1, 99)} {number(rng, held, 100, 999)} {number(rng, held, 10000, 9999999)}"


def _date(rng: random.Random, held: bool) -> str:
    roll = rng.random()
    if roll < 0.4:
        return f"{rng.randint(1990, 2039)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    return f"{rng.randint(1, 28)} {rng.choice(words.MONTHS)}" + (f" {rng.randint(1990, 2039)}" if roll < 0.8 else "")


def _price(rng: random.Random, held: bool) -> int | float:
    if rng.random() < 0.6:
        return number(rng, held, 1, 999)
    return float(f"{number(rng, held, 1, 499)}.{rng.randint(1, 9)}{rng.choice('0123456789').strip('0')}")


def _price_with_currency(rng: random.Random, held: bool) -> str:
    return f"{number(rng, held, 2, 400)} {rng.choice(('euros', 'dollars', 'pounds', 'francs'))}"


def _budget(rng: random.Random, held: bool) -> int | float:
    return number(rng, held, 1, 900) if rng.random() < 0.7 else number(rng, held, 1, 300) + 0.5


def _order_number(rng: random.Random, held: bool) -> str:
    letters = rng.choice(_CAPITALS) + rng.choice(_CAPITALS)
    return f"{letters}{rng.choice(('', '-'))}{number(rng, held, 100, 99999)}"


def _code(rng: random.Random, held: bool) -> str:
    if rng.random() < 0.6:
        return str(number(rng, held, 10, 99999))
    letters = rng.choice("ABCDEFGHKLMNPRSTXYZ") + rng.choice("ABCDEFGHKLMNPRSTXYZ")
    return f"{letters}-{number(rng, held, 100, 9999)}"


def _secret(rng: random.Random, held: bool) -> str:
    return words.INVENTED.pick(rng, held) + (str(number(rng, held, 10, 99)) if rng.random() < 0.4 else "")


def _person(rng: random.Random, held: bool) -> str:
    return words.FIRST_NAMES.pick(rng, held) if rng.random() < 0.6 else full_name(rng, held)


def _clock(*minutes: str) -> Make:
    return lambda rng, held: f"{rng.randint(0, 23):02d}:{rng.choice(minutes)}"


def _ended(pick: Make, *endings: str) -> Make:
    return lambda rng, held: pick(rng, held) + rng.choice(endings)


def _some(rng: random.Random, held: bool, low: int, high: int) -> str:
    return " ".join(word(rng, held) for _ in range(rng.randint(low, high)))


def _title(rng: random.Random, held: bool) -> str:
    return _some(rng, held, 1, 3).title() if rng.random() < 0.6 else word(rng, held)


def _message(rng: random.Random, held: bool) -> str:
    return sentence(rng, held) if rng.random() < 0.7 else _some(rng, held, 2, 5)


_MAKES: dict[str, Make] = {
    "name": words.FIRST_NAMES.pick,
    "person": _person,
    "city": words.CITIES.pick,
    "invented": words.INVENTED.pick,
    "object": Loose.of(words.OBJECTS).pick,
    "colour": Loose.of(words.COLOURS).pick,
    "job": Loose.of(words.JOBS).pick,
    "hobby": Loose.of(words.HOBBIES).pick,
    "food": Loose.of(words.FOODS).pick,
    "place": Loose.of(words.PLACES).pick,
    "animal": Loose.of(words.ANIMALS).pick,
    "email": _email,
    "phone": _phone,
    "date": _date,
    "weekday": lambda rng, held: rng.choice(words.DAYS),
    "price": _price,
    "price with currency": _price_with_currency,
    "budget": _budget,
    "order number": _order_number,
    "code": _code,
    "secret": _secret,
    "company": _ended(title, " Ltd", " Inc", " GmbH", "", " Works", " & Co"),
    "country": _ended(title, "ia", "land", "stan", ""),
    "hour": _clock("00", "15", "30", "45", "10", "50"),
    "time": _clock("00", "15", "30", "45", "05", "20"),
    "oclock": lambda rng, held: f"{rng.randint(1, 12)} o'clock",
    "title": _title,
    "message": _message,
    "words": lambda rng, held: _some(rng, held, 1, 3),
    "url": lambda rng, held: f"https://{words.INVENTED.pick(rng, held)}.{rng.choice(('com', 'org', 'net'))}",
    "file": _ended(words.INVENTED.pick, ".txt", ".pdf", ".csv", ".md", ".json", ".png"),
}


def maker(value: str | list[int]) -> Make:
    """Of a name, or of a number between two."""
    if isinstance(value, str):
        return _MAKES[value]
    return lambda rng, held: number(rng, held, *value)
