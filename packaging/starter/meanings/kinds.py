"""Kinds of facts, read from topics/*.txt: how each is told and asked for, in words for training and words held back.

A file is a domain. `[kind]` begins a kind, `[kind held]` one that training never meets. `s:` and `q:` are wordings of
statements and questions, `S:` and `Q:` those for the evaluation alone; `;` stands between wordings, `(a|b)` is a
choice, `<slot>` a gap, `<Slot>` the same with a capital letter. Slots of every question are what it asks about.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..common.phrases import Phrases, expand, expansions
from . import slots

_GAP = re.compile(r"<(\w+)>")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiouAEIOU])")


@dataclass(frozen=True)
class Kind:
    domain: str
    name: str
    held: bool
    statements: Phrases
    questions: Phrases
    slots: tuple[str, ...]
    keys: tuple[str, ...]  # the slots that every question names
    told: tuple[str, ...]  # the slots that every statement names

    def wording(self, rng: random.Random, held: bool) -> str:
        """Of a statement, with its gaps open."""
        return expand(rng, _choice(rng, self.statements, held))

    def meaning(self, rng: random.Random, held: bool, given: dict[str, str] | None = None) -> Meaning:
        """Some fact of this kind; `given` values stay as they are."""
        values = dict(given or {})
        for slot in self.slots:
            if slot in values:
                continue
            value = slots.fill(rng, slot, held)
            tries = 0
            while value in values.values():
                tries += 1
                value = slots.fill(rng, slot, held and tries < 6)  # some lists keep back one word only
            values[slot] = value
        return Meaning(self, tuple((slot, values[slot]) for slot in self.slots))


@dataclass(frozen=True)
class Meaning:
    """One fact: the text of it is drawn anew each time it is told or asked for."""

    kind: Kind
    values: tuple[tuple[str, str], ...]

    @property
    def question_key(self) -> str:
        """Equal for the facts that answer one question."""
        asked = [value for slot, value in self.values if slot in self.kind.keys]
        return f"{self.kind.domain} {self.kind.name} " + "|".join(asked)

    @property
    def key(self) -> str:
        told = [value for slot, value in self.values if slot in self.kind.told]
        return f"{self.kind.domain} {self.kind.name} is " + "|".join(told)

    def tell(self, rng: random.Random, held: bool) -> str:
        return self.told(self.kind.wording(rng, held))

    def told(self, wording: str) -> str:
        """In a wording of its kind."""
        text = self._filled(wording)
        return text if text[-1] in ".!?" else text + "."

    def ask(self, rng: random.Random, held: bool) -> str:
        return self._filled(expand(rng, _choice(rng, self.kind.questions, held)))

    def _filled(self, text: str) -> str:
        values = dict(self.values)

        def put(gap: re.Match[str]) -> str:
            slot = gap.group(1)
            value = values[slot[0].lower() + slot[1:]]
            return value[:1].upper() + value[1:] if slot[0].isupper() else value

        text = _ARTICLE.sub(r"\1n ", _GAP.sub(put, text))
        return text[:1].upper() + text[1:] if text.endswith("?") else text


def _choice(rng: random.Random, phrases: Phrases, held: bool) -> str:
    side = phrases.held if held and phrases.held else phrases.train
    return side[int(rng.random() * len(side))]


def _slots(patterns: list[str]) -> tuple[str, ...]:
    """In order of first appearance, without capitals."""
    return tuple(dict.fromkeys(gap[0].lower() + gap[1:] for pattern in patterns for gap in _GAP.findall(pattern)))


def _always(names: tuple[str, ...], patterns: list[str]) -> tuple[str, ...]:
    """Those that no text of the patterns leaves out: two facts that differ in another may read the same."""
    texts = [set(_slots([text])) for pattern in patterns for text in expansions(pattern)]
    return tuple(name for name in names if all(name in text for text in texts))


def _kind(domain: str, head: str, lines: list[str]) -> Kind:
    wordings: dict[str, list[str]] = {"s": [], "S": [], "q": [], "Q": []}
    for line in lines:
        mark, _, text = line.partition(": ")
        wordings[mark] += [part.strip() for part in text.split(";") if part.strip()]
    name, _, held = head.partition(" ")
    asked = _slots(wordings["q"] + wordings["Q"])
    told = _slots(wordings["s"] + wordings["S"])
    if unknown := [slot for slot in {*asked, *told} if not slots.known(slot)]:
        raise ValueError(f"{domain} [{head}]: no such slot {unknown}")
    return Kind(
        domain,
        name,
        held == "held",
        Phrases(wordings["s"], wordings["S"]),
        Phrases(wordings["q"], wordings["Q"]),
        tuple(dict.fromkeys(asked + told)),
        _always(asked, wordings["q"] + wordings["Q"]),
        _always(told, wordings["s"] + wordings["S"]),
    )


def _read(path: Path) -> list[Kind]:
    kinds: list[Kind] = []
    head, lines = "", []
    for line in [*path.read_text().splitlines(), "[]"]:
        if line.startswith("["):
            if head:
                kinds.append(_kind(path.stem, head, lines))
            head, lines = line.strip("[]"), []
        elif line.strip():
            lines.append(line)
    return kinds


@cache
def kinds() -> dict[str, tuple[Kind, ...]]:
    """By domain, in the order of the files."""
    return {path.stem: tuple(_read(path)) for path in sorted((Path(__file__).parent / "topics").glob("*.txt"))}


def wordings(phrases: Phrases) -> tuple[set[str], set[str]]:
    """All texts of both sides with their gaps open; for tests."""
    sides = (phrases.train, phrases.held)
    train, held = ({text.lower() for pattern in side for text in expansions(pattern)} for side in sides)
    return train, held
