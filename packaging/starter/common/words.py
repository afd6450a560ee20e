"""Word lists for every recipe: real ones and invented ones, each cut into what training sees and what it never sees."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from .data import beside

HELD_SHARE = 12  # one in so many is kept from training
_DATA = beside(__file__)


def is_held(text: str) -> bool:
    """Whether the evaluation owns this word; case does not matter, so that no casing leaks it."""
    return zlib.crc32(b"starter:" + text.lower().encode()) % HELD_SHARE == 0


@dataclass(frozen=True)
class Words:
    train: tuple[str, ...]
    held: tuple[str, ...]

    @classmethod
    def split(cls, words: list[str]) -> Words:
        unique = list(dict.fromkeys(words))
        return cls(tuple(w for w in unique if not is_held(w)), tuple(w for w in unique if is_held(w)))

    def pick(self, rng: random.Random, held: bool) -> str:
        side = self.held if held else self.train
        return side[int(rng.random() * len(side))]


@dataclass(frozen=True)
class Coined(Words):
    """Training draws fresh ones without end; the evaluation keeps its list."""

    ending: bool = False  # whether they end and begin as names do
    fresh: float = 1.0  # how often training leaves its list

    def pick(self, rng: random.Random, held: bool) -> str:
        if held or rng.random() >= self.fresh:
            return super().pick(rng, held)
        return coined_name(rng) if self.ending else coined(rng)


@dataclass(frozen=True)
class Loose(Words):
    """A list that training leaves now and then for any other word, so that it cannot be learnt by heart."""

    def pick(self, rng: random.Random, held: bool) -> str:
        if held or rng.random() < 0.5:
            return super().pick(rng, held)
        return REAL.pick(rng, False) if rng.random() < 0.4 else coined(rng)

    @classmethod
    def of(cls, words: Words) -> Loose:
        return cls(words.train, words.held)


def listed(text: str) -> list[str]:
    return [word.replace("_", " ") for word in text.split()]


_SYLLABLES = {name: text.split() for name, text in _DATA["syllables"].items() if name != "letters"}
_ONSETS, _VOWELS, _NAME_ENDS = (_SYLLABLES[name] for name in ("onsets", "vowels", "name_ends"))
_CODAS = ["", "", "", *_SYLLABLES["codas"]]
_LETTERS = _DATA["syllables"]["letters"]


def _invented(rng: random.Random, shortest: int, longest: int) -> str:
    return "".join(
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + (rng.choice(_CODAS) if i or rng.random() < 0.5 else "")
        for i in range(rng.randint(shortest, longest))
    )


def _invented_names(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [(_invented(rng, 1, 2) + rng.choice(_NAME_ENDS)).capitalize() for _ in range(count)]


def _coined(words: list[str], ending: bool, fresh: float) -> Coined:
    split = Words.split(words)
    return Coined(split.train, split.held, ending, fresh)


def _words(name: str) -> Words:
    return Words.split(listed(_DATA[name]))


_pieces: list[str] = []


def learn_pieces(pieces: list[str]) -> None:
    """From now on words are also coined from a tokenizer's pieces, each of which has to be spelled and copied."""
    _pieces[:] = [piece for piece in pieces if piece.isalpha() and piece.isascii() and len(piece) > 1]


def coined(rng: random.Random) -> str:
    """A word that nobody knows and the evaluation does not own: of syllables, cut and spoilt words, letters."""
    while True:
        roll = rng.random()
        if roll < 0.25 and _pieces:
            text = "".join(rng.choice(_pieces) for _ in range(2 if rng.random() < 0.8 else 3))
            text = text if rng.random() < 0.3 else text.lower()
        elif roll < 0.45:
            text = _invented(rng, 1, 3)
        elif roll < 0.62:
            left, right = rng.choice(_ALL), rng.choice(_ALL)
            text = left[: rng.randint(1, len(left))] + right[int(rng.random() * len(right)) :]
        elif roll < 0.82:
            text = rng.choice(_ALL)
            at = int(rng.random() * len(text))
            spoilt = rng.choice(("", *(rng.choice(_LETTERS) for _ in range(3))))
            text = text[:at] + spoilt + text[at + (rng.random() < 0.6) :]
        elif roll < 0.9:
            text = rng.choice(_ALL) + rng.choice(_SYLLABLES["ends"])
        else:
            text = "".join(rng.choice(_LETTERS) for _ in range(rng.randint(1, 9)))
        if 0 < len(text) < 18 and not is_held(text):
            return text


def coined_name(rng: random.Random) -> str:
    while True:
        if rng.random() < 0.6:
            text = _invented(rng, 1, 2) + rng.choice(_NAME_ENDS)
        else:
            text = coined(rng) + (rng.choice(_NAME_ENDS) if rng.random() < 0.5 else "")
        if 2 < len(text) < 15 and text.isalpha() and not is_held(text):
            return text.capitalize()


FIRST_NAMES = _coined(listed(_DATA["first_names"]) + _invented_names(6000, 11), True, 0.7)
CITIES = _coined(listed(_DATA["cities"]) + _invented_names(1500, 13), True, 0.6)
_rng = random.Random(17)
INVENTED = _coined([_invented(_rng, 1, 3) for _ in range(12000)], False, 0.9)
COLOURS, ANIMALS, FOODS, OBJECTS = (_words(name) for name in ("colours", "animals", "foods", "objects"))
PLACES, ADJECTIVES, VERBS, JOBS = (_words(name) for name in ("places", "adjectives", "verbs", "jobs"))
CHARACTERS, HOBBIES, COMMON = (_words(name) for name in ("characters", "hobbies", "common"))
NOUNS = Words(
    OBJECTS.train + ANIMALS.train + FOODS.train + PLACES.train, OBJECTS.held + ANIMALS.held + FOODS.held + PLACES.held
)
REAL = Words.split(
    [word for words in (NOUNS, ADJECTIVES, VERBS, COLOURS, JOBS, HOBBIES, COMMON) for word in words.train + words.held]
)
_ALL = [word for word in REAL.train if word.isalpha()]
MONTHS, DAYS = _DATA["months"].split(), _DATA["days"].split()


def word(rng: random.Random, held: bool) -> str:
    """A real word or an invented one, half and half; an evaluation word has never been seen."""
    return (REAL if rng.random() < 0.5 else INVENTED).pick(rng, held)


def noun(rng: random.Random, held: bool) -> str:
    """Training also takes invented words for things, so that their names teach nothing."""
    return INVENTED.pick(rng, held) if not held and rng.random() < 0.3 else NOUNS.pick(rng, held)


def title(rng: random.Random, held: bool) -> str:
    """An invented word with a capital."""
    return INVENTED.pick(rng, held).capitalize()


def full_name(rng: random.Random, held: bool) -> str:
    return f"{FIRST_NAMES.pick(rng, held)} {title(rng, held)}"


def number(rng: random.Random, held: bool, low: int, high: int) -> int:
    """Training never sees a number of two or more digits whose text is held."""
    while True:
        n = rng.randint(low, high)
        if n < 10 or high - low < 40 or is_held(f"n{n}") == held:
            return n


Pick = Callable[[random.Random, bool], str]
PICKS: dict[str, Pick] = {
    "noun": NOUNS.pick,
    "city": CITIES.pick,
    "animal": ANIMALS.pick,
    "food": FOODS.pick,
    "name": FIRST_NAMES.pick,
    "hobby": HOBBIES.pick,
    "invented": INVENTED.pick,
    "adjective": ADJECTIVES.pick,
    "common": COMMON.pick,
    "job": JOBS.pick,
    "colour": COLOURS.pick,
    "place": PLACES.pick,
}


def _trained(words: Words) -> Pick:
    return lambda rng, held: words.pick(rng, False)


# What a sentence says of its thing is the same in the evaluation.
_SAID: dict[str, Pick] = {
    **PICKS,
    "adjective": _trained(ADJECTIVES),
    "colour": _trained(COLOURS),
    "place": _trained(PLACES),
    "verb": _trained(VERBS),
    "day": lambda rng, held: rng.choice(DAYS),
    "word": word,
    "number": lambda rng, held: str(number(rng, held, 2, 999)),
    "few": lambda rng, held: str(number(rng, held, 2, 99)),
}
_GAP = re.compile(r"<(\w+)>")


def fill(rng: random.Random, text: str, held: bool, picks: dict[str, Pick] = PICKS) -> str:
    """A word for every gap that has a list, from left to right."""
    return _GAP.sub(lambda gap: picks[gap[1]](rng, held) if gap[1] in picks else gap[0], text)


def sentence(rng: random.Random, held: bool) -> str:
    thing = noun(rng, held)
    kind = int(rng.random() * 14)
    if kind == 13:
        return " ".join(word(rng, held) for _ in range(rng.randint(3, 9)))
    return fill(rng, _DATA["sentences"][kind].replace("<noun>", thing), held, _SAID)
