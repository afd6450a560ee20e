"""Memory: what the user said of themselves, told in one turn and asked for in a later one."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ...common.phrases import Filled, Phrases
from ...common.words import ANIMALS, FIRST_NAMES, PICKS, PLACES, Loose, noun, number
from ..sample import Exchange
from .values import Make, maker
from .wording import Asks, wordings

_DATA, ASKS = wordings("memory")
_ANYWHERE = Loose.of(PLACES)
_ACK = "I will remember that."


@dataclass(frozen=True)
class Topic:
    """`label` is how the answer names it: "Your name is Mira."."""

    label: str
    value: Make
    tell: Phrases | Filled
    ask: Phrases | Filled


def _labelled(patterns: list[str], label: list[str]) -> list[str]:
    return [pattern.replace("<l>", "(" + "|".join(label) + ")") for pattern in patterns]


def _asks(found: dict[str, list[str]]) -> Asks:
    """What is asked for by its name, and in ways of its own."""
    orders, things, wonders, wholes = (
        _labelled(_DATA["named"][kind], found["label"]) + found.get(kind, []) * weight
        for kind, weight in (("orders", 1), ("things", 1), ("wonders", 1), ("wholes", 3))
    )
    return Asks(found["held"], orders, things, wonders, wholes, (3, 3, 2, 6))


def _tells(found: dict[str, list[str]]) -> Phrases:
    return Phrases(_labelled(_DATA["forms"], found["label"]) + found.get("wholes", []) * 4, found["held"])


TOPICS = [
    Topic(found["label"], maker(found["value"]), _tells(found["tell"]), _asks(found["ask"]))
    for found in _DATA["topics"]
]
_OTHER_TELLS, _OTHER_ASKS = _tells(_DATA["other"]["tell"]), _asks(_DATA["other"]["ask"])


def _other(rng: random.Random) -> tuple[Topic, str]:
    """Things of one's own of any name: training alone, so that what counts is the name and not the list above."""
    if rng.random() < 0.5:
        label, kind = rng.choice(_DATA["others"])
    else:
        label = rng.choice(_DATA["others_before"]) + noun(rng, False)
        kind = rng.choice(("name", "invented", "city", "colour", "noun"))
    tell, ask = (Filled(_OTHER_TELLS, "<label>", label), Filled(_OTHER_ASKS, "<label>", label))
    value = str(number(rng, False, 1, 9999)) if rng.random() < 0.15 else PICKS[kind](rng, False)
    return Topic(label, PICKS[kind], tell, ask), value


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]


def _pet(rng: random.Random, held: bool) -> tuple[Topic, str]:
    if held or rng.random() < 0.6:
        animal = ANIMALS.pick(rng, held)
    else:
        animal = rng.choice((noun(rng, False), "friend", "child", "car", "boat"))
    tell, ask = Filled(ASKS["pets"], "<animal>", animal), Filled(ASKS["pet"], "<animal>", animal)
    return Topic(f"{animal}'s name", FIRST_NAMES.pick, tell, ask), FIRST_NAMES.pick(rng, held)


def choose(rng: random.Random, held: bool, taken: set[str]) -> tuple[Topic, str]:
    """A topic that the conversation has not had, with a value."""
    while True:
        roll = rng.random()
        if roll < 0.15:
            topic, value = _pet(rng, held)
        elif roll < 0.35 and not held:
            topic, value = _other(rng)
        else:
            topic = rng.choice(TOPICS)
            value = str(topic.value(rng, held))
        if topic.label not in taken:
            taken.add(topic.label)
            return topic, value


def _noted(told: str, answer: str = _ACK, thought: str = "The user tells me something. I keep it in mind.") -> Exchange:
    return Exchange("memory", told, answer, thought, ("contains", ("remember",)), "Noted.")


def telling(rng: random.Random, held: bool, facts: list[tuple[Topic, str]]) -> Exchange:
    said = [(topic.tell.pick(rng, held), value) for topic, value in facts]
    # A value keeps its own case, also where it begins the sentence.
    told = " ".join(_sentence_case(text).replace("<v>", value) for text, value in said)
    first, value = facts[0]
    return _noted(told, f"Nice to meet you, {value}! {_ACK}" if first.label == "name" else _ACK)


def change(rng: random.Random, held: bool, topic: Topic) -> tuple[Exchange, str]:
    """The user takes something back; the later word counts."""
    value = str(topic.value(rng, held)) if topic.label in {t.label for t in TOPICS} else FIRST_NAMES.pick(rng, held)
    opening = rng.choice(_DATA["corrections"])
    told = topic.tell.pick(rng, held).replace("<v>", value)
    told = opening + (told if told.startswith(("I ", "I'", value)) else told[:1].lower() + told[1:])
    return _noted(told, thought="The user corrects it. The new one counts."), value


def asking(rng: random.Random, held: bool, topic: Topic, value: str | None) -> Exchange:
    asked, label = topic.ask.pick(rng, held), topic.label
    if value is None:
        answer, thought = f"You have not told me your {label}.", f"Your {label} was not mentioned."
        return Exchange("memory", asked, answer, thought, ("contains", ("not told",)), "Unknown.")
    thought = f"Earlier the user said: {label} is {value}."
    return Exchange("memory", asked, f"Your {label} is {value}.", thought, ("contains", (value,)), value)


def things(rng: random.Random, held: bool, count: int) -> tuple[Exchange, list[tuple[str, str]]]:
    """Where things are: told together, asked for one by one."""
    nouns: dict[str, str] = {}
    while len(nouns) < count:
        nouns[noun(rng, held)] = (PLACES if held else _ANYWHERE).pick(rng, False)
    told = " ".join(
        ASKS["things"].pick(rng, held).replace("<noun>", thing).replace("<place>", place)
        for thing, place in nouns.items()
    )
    return _noted(told), list(nouns.items())


def where(rng: random.Random, held: bool, thing: str, place: str) -> Exchange:
    asked = ASKS["where"].pick(rng, held).replace("<noun>", thing)
    thought = f"Earlier the user said: {thing}, {place}."
    return Exchange("memory", asked, f"The {thing} is in the {place}.", thought, ("contains", (place,)), place)
