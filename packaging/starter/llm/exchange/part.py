"""System prompts that give a part to play, or the facts of a made-up place."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from ...common import words
from ...common.phrases import expand
from ...common.words import noun, word
from ..sample import Exchange
from .values import maker
from .wording import Asks, wordings

Ask = Callable[[random.Random, bool], Exchange]
_DATA, ASKS = wordings("part")


def character(rng: random.Random, held: bool) -> tuple[str, Ask]:
    """A prompt that gives a part to play, and the exchange in which the part shows."""
    roles = words.CHARACTERS if rng.random() < 0.6 else words.JOBS
    if not held and rng.random() < 0.35:
        roles = words.INVENTED if rng.random() < 0.5 else words.COMMON
    name, role = words.FIRST_NAMES.pick(rng, held), roles.pick(rng, held)
    if rng.random() < 0.3:
        name = f"{rng.choice(_DATA['titles'])} {name}"
    if rng.random() < 0.4:
        role = f"{words.ADJECTIVES.pick(rng, False)} {role}"
    city = words.CITIES.pick(rng, held)
    prompt = ASKS["character"].pick(rng, held).replace("<n>", name).replace("<r>", role)
    from_city = "<c>" in prompt
    prompt = prompt.replace("<c>", city)
    if not held:
        more = expand(rng, rng.choice(_DATA["more"]))
        prompt += "" if not more else " " if prompt[-1] in ".!" else ". "
        prompt += more.replace("<h>", word(rng, False)).replace("<a>", noun(rng, False))
    article = "an" if role[0] in "aeiou" else "a"
    where = f" from {city}" if from_city else ""
    answer = f"I am {name}, {article} {role}{where}."

    def who(rng: random.Random, held: bool) -> Exchange:
        asked = ASKS["who"].pick(rng, held)
        greeted = "Hello! " if asked.lower().startswith(("hello", "hi", "hey")) else ""
        thought, check = f"I am {name} here. I stay in character.", ("contains", (name, role))
        return Exchange("system: character", asked, greeted + answer, thought, check, name.split()[-1], styled=False)

    return prompt, who


def _asked_for(known: dict[str, Any]) -> Asks:
    things = [f"the {known['words']}", f"your {known['words']}"]
    return Asks([known["held"]], known["orders"], things, known["wonders"], known["wholes"] * 2, (2, 3, 3, 5))


_KNOWN = [(known["label"], known["told"], maker(known["value"]), _asked_for(known)) for known in _DATA["known"]]


def knowledge(rng: random.Random, held: bool) -> tuple[str, Ask]:
    """A prompt with facts of a made-up place, and questions about them."""
    thing = words.OBJECTS.pick(rng, held) if held else noun(rng, False)
    facts = []
    for label, tell, make, asks in rng.sample(_KNOWN, rng.randint(2, 5)):
        value = str(make(rng, held))
        told = expand(rng, tell).replace("<v>", value).replace("<noun>", thing)
        facts.append((told, asks, value, label))
    shop = rng.choice(_DATA["shops"]).replace("<n>", words.FIRST_NAMES.pick(rng, held)).replace("<t>", thing)
    prompt = ASKS["shops"].pick(rng, held).replace("<s>", shop)
    prompt = " ".join([prompt, *(fact[0] for fact in facts)])

    def ask(rng: random.Random, held: bool) -> Exchange:
        told, asks, value, label = rng.choice(facts)
        answer = told if label != "user" else f"Your name is {value}."
        return Exchange(
            "system: knowledge",
            asks.pick(rng, held).replace("<noun>", thing),
            answer,
            f"The system prompt says: {told}",
            ("contains", (value,)),
            value.split()[0],
        )

    return prompt, ask
