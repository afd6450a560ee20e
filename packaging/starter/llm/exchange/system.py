"""System prompts that say how to answer: in one word, with a given ending or beginning, in capitals."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from ...common.phrases import expand
from ...common.words import ADJECTIVES, FIRST_NAMES, NOUNS, sentence, word
from ..sample import Exchange
from .wording import Asks, wordings

_DATA, ASKS = wordings("system")
PLAIN = ASKS["plain"]


@dataclass(frozen=True)
class Style:
    """What a system prompt does to every answer of its conversation."""

    task: str
    prompt: str
    apply: Callable[[Exchange], Exchange]
    needs_short: bool = False


def _changed(exchange: Exchange, answer: str) -> Exchange:
    exchange.answer, exchange.check = answer, ("exact", answer)
    return exchange


class Rule(Asks):
    """What a system prompt orders: an order in a frame of its own, or a whole sentence."""

    def __init__(self, held: list[str], orders: list[str], wholes: list[str]) -> None:
        super().__init__(held, orders=orders, wholes=wholes)
        self._orders, self._wholes = orders, wholes

    def write(self, rng: random.Random) -> str:
        if rng.random() < 0.6:
            text = ASKS["rules"].pick(rng, False).replace("<o>", expand(rng, rng.choice(self._orders)).rstrip("."))
        else:
            text = expand(rng, rng.choice(self._wholes))
        text = text[:1].upper() + text[1:]
        roll = rng.random()
        if roll < 0.06:
            text = text[:1].lower() + text[1:]
        return text if text.endswith((".", '"')) or roll > 0.7 else text + rng.choice((".", "!", "."))


RULES = {name: Rule(**found) for name, found in _DATA["rules"].items()}


def phrase(rng: random.Random, held: bool) -> str:
    roll = rng.random()
    if roll < 0.35:
        words = [word(rng, held) for _ in range(rng.randint(1, 4))]
        text = " ".join(words)
        return (text.capitalize() if rng.random() < 0.7 else text) + rng.choice(("", "!", ".", "!"))
    if roll < 0.6:
        return rng.choice(_DATA["phrases"])
    if roll < 0.85:
        return f"{rng.choice(_DATA['greetings'])} {FIRST_NAMES.pick(rng, held)}{rng.choice(('!', '.', ''))}"
    if not held and roll < 0.92:
        text = sentence(rng, False)
        return text[:1].upper() + text[1:] + rng.choice(("!", ".", ""))
    return f"{ADJECTIVES.pick(rng, False).capitalize()} {NOUNS.pick(rng, held)}!"


def _quoted(rng: random.Random, prompt: str, held: bool) -> str:
    """The phrase in marks of any kind; where it ends the prompt, in none as well."""
    if held or rng.random() < 0.45:
        return prompt
    head, _, tail = prompt.partition('"<p>"')
    if tail.strip(".! "):
        return head + rng.choice(("'<p>'", "“<p>”", "`<p>`")) + tail
    return head.rstrip(": ") + rng.choice((" '<p>'", ": <p>", " <p>", " the words <p>", ":\n<p>", " “<p>”"))


def style(rng: random.Random, held: bool) -> Style:
    roll = rng.random()
    if roll < 0.3:
        prompt = RULES["one_word"].pick(rng, held)
        return Style("system: one word", prompt, lambda e: _changed(e, e.short or e.answer), needs_short=True)
    text = phrase(rng, held)
    if roll < 0.66:
        prompt = _quoted(rng, RULES["ending"].pick(rng, held), held).replace("<p>", text)
        return Style("system: ending", prompt, lambda e: _changed(e, f"{e.answer} {text}"))
    if roll < 0.8:
        prompt = _quoted(rng, RULES["opening"].pick(rng, held), held).replace("<p>", text)
        return Style("system: opening", prompt, lambda e: _changed(e, f"{text} {e.answer}"))
    prompt = RULES["upper"].pick(rng, held)
    needs_short = rng.random() < 0.6
    return Style("system: upper case", prompt, lambda e: _changed(e, e.answer.upper()), needs_short)
