"""What fills the gaps of a wording: `<name>`, `<dish>`, `<minutes>`; each list is cut in two for training."""

from __future__ import annotations

import random
import zlib

from ..common import words
from ..common.data import beside
from ..common.words import CITIES, DAYS, FIRST_NAMES, INVENTED, MONTHS, Pick, Words, full_name, listed, number, title

_DATA = beside(__file__)
_DEVICES, _STREETS, _DISHES = (listed(_DATA[name]) for name in ("devices", "streets", "dishes"))


def _and(known: Words, held: str) -> Words:
    """With more words for the evaluation alone."""
    trained = {word.lower() for word in known.train}
    return Words(known.train, tuple(dict.fromkeys((*known.held, *(w for w in held.split() if w not in trained)))))


def _listed(text: str) -> Words:
    """At least three are kept back, however short the list."""
    unique = list(dict.fromkeys(listed(text)))
    held = [word for word in unique if words.is_held(word)]
    others = [word for word in sorted(unique, key=lambda w: zlib.crc32(w.encode())) if word not in held]
    held += others[: max(0, 3 - len(held))]
    return Words(tuple(word for word in unique if word not in held), tuple(held))


LISTS: dict[str, Words] = {
    **{name: _listed(text) for name, text in _DATA["lists"].items()},
    **{name: _and(getattr(words, more["to"]), more["words"]) for name, more in _DATA["more"].items()},
    "country": Words.split(
        listed(_DATA["countries"]) + [word.capitalize() + "ia" for word in INVENTED.train[:600] if len(word) > 3]
    ),
}
_COLOURS, _FOODS, _OBJECTS = LISTS["colour"], LISTS["food"], LISTS["object"]
_ANIMALS, _ADJECTIVES = LISTS["animal"], LISTS["adjective"]


def _brand(rng: random.Random, held: bool) -> str:
    name = title(rng, held)
    if rng.random() < 0.7:
        return name
    return f"{_ADJECTIVES.pick(rng, held).capitalize()} {_OBJECTS.pick(rng, held).capitalize()}"


def _described(words: Words) -> Pick:
    """A word alone, or with one that narrows it down: the lists are short, the world is not."""

    def fill(rng: random.Random, held: bool) -> str:
        word = words.pick(rng, held)
        roll = rng.random()
        if roll < 0.4:
            return word
        return f"{(_COLOURS if roll < 0.6 else _ADJECTIVES).pick(rng, held)} {word}"

    return fill


def _titled(*after: str) -> Pick:
    return lambda rng, held: title(rng, held) + rng.choice(after)


def _term(rng: random.Random, held: bool) -> str:
    """Any word, as the name of whatever a thing may have."""
    while True:
        text = words.word(rng, held).split(" ")[0]
        if held or text not in LISTS["relation"].held:
            return text


def _verb(rng: random.Random, held: bool) -> str:
    """Any word to which "ed" can be put."""
    while (text := _term(rng, held)).endswith(("e", "ed", "ing")):
        pass
    return text


def _dish(rng: random.Random, held: bool) -> str:
    first = _FOODS.pick(rng, held)
    middle = f" and {_FOODS.pick(rng, held)}" if rng.random() < 0.15 else ""
    return f"{first}{middle} {rng.choice(_DISHES)}"


def _name(rng: random.Random, held: bool) -> str:
    roll = rng.random()
    if roll < 0.5:
        return FIRST_NAMES.pick(rng, held)
    return full_name(rng, held) if roll < 0.9 else f"{rng.choice(('Mr', 'Mrs', 'Professor'))} {title(rng, held)}"


def _club(rng: random.Random, held: bool) -> str:
    place = CITIES.pick(rng, held)
    return str(rng.choice(_DATA["clubs"]).format(place, _ANIMALS.pick(rng, held).capitalize()))


def _bank(rng: random.Random, held: bool) -> str:
    return f"the {title(rng, held)} Bank" if rng.random() < 0.6 else f"the Bank of {CITIES.pick(rng, held)}"


def _title(rng: random.Random, held: bool) -> str:
    if rng.random() < 0.6:
        words = f"{_ADJECTIVES.pick(rng, held)} {_OBJECTS.pick(rng, held)}"
    else:
        words = f"{_ANIMALS.pick(rng, held)} of {CITIES.pick(rng, held)}"
    return f'"{"The " if rng.random() < 0.4 else ""}{words.capitalize()}"'


def _thing(rng: random.Random, held: bool) -> str:
    """Anything that has a name."""
    kind = rng.choice(("city", "country", "name", "software", "club", "object", "animal", "brand", "title"))
    text = fill(rng, kind, held)
    return f"the {text}" if kind in ("object", "animal") else text


def _value(rng: random.Random, held: bool) -> str:
    kinds = ("city", "name", "colour", "number", "year", "object", "word", "adjective", "food")
    return fill(rng, rng.choice(kinds), held)


def _price(rng: random.Random, held: bool) -> str:
    return f"{number(rng, held, 2, 999)} {rng.choice(('euros', 'dollars', 'pounds', 'francs'))}"


def _numbered(low: int, high: int) -> Pick:
    return lambda rng, held: str(number(rng, held, low, high))


def _between(low: int, high: int) -> Pick:
    """Too few for any to be kept back."""
    return lambda rng, held: str(rng.randint(low, high))


_FILLS: dict[str, Pick] = {
    **{name: known.pick for name, known in LISTS.items()},
    "name": _name,
    "surname": title,
    "software": title,
    "city": CITIES.pick,
    "word": INVENTED.pick,
    "term": _term,
    "verb": _verb,
    "dish": _dish,
    "animal": _described(_ANIMALS),
    "object": _described(_OBJECTS),
    "brand": _brand,
    "thing": _thing,
    "value": _value,
    "device": _titled(*(f" {device}" for device in _DEVICES)),
    "street": _titled(*(f" {street}" for street in _STREETS)),
    "product": lambda rng, held: f"{title(rng, held)} {_OBJECTS.pick(rng, held)}",
    "medicine": _titled("in", "ol", "an"),
    "bank": _bank,
    "club": _club,
    "title": _title,
    "day": lambda rng, held: rng.choice(DAYS),
    "month": lambda rng, held: rng.choice(MONTHS),
    "clock": lambda rng, held: f"{rng.randint(5, 22)}:{rng.randint(0, 59):02d}",
    "celsius": lambda rng, held: f"{'minus ' if rng.random() < 0.15 else ''}{rng.randint(1, 38)}",
    "gigabytes": lambda rng, held: str(rng.choice((2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128))),
    "price": _price,
    "phone": lambda rng, held: f"{rng.randint(200, 999)} {rng.randint(1000, 9999)}",
    **{name: _between(low, high) for name, (low, high) in _DATA["few"].items()},
    **{name: _numbered(low, high) for name, (low, high) in _DATA["numbers"].items()},
}


def pool(slot: str) -> str:
    """`name2` is a second one out of `name`."""
    return slot.rstrip("0123456789")


def fill(rng: random.Random, slot: str, held: bool) -> str:
    return _FILLS[pool(slot)](rng, held)


def known(slot: str) -> bool:
    return pool(slot) in _FILLS
