"""Talk: facts about mlx-serve, greetings, thanks, and owning up to what a small model does not know."""

from __future__ import annotations

import random
import re
from functools import cache

from ...common.phrases import expand, expansions, plain
from ...common.words import ADJECTIVES, INVENTED, PICKS, fill
from ..asked import KEPT
from ..sample import Exchange
from .facts import FACTS, Fact, alike
from .wording import roughened, wordings

_DATA, ASKS = wordings("talk")
_NAMED, _DONE = ASKS["name_frames"], ASKS["task_frames"]
_LIKE = {word: texts.split("|") for word, texts in _DATA["synonyms"].items()}
# Not in what is typed: a command, an option, a path.
_ALIKE = "|".join(sorted(_LIKE, key=len, reverse=True))
_WORD = re.compile(rf"(?<![\w`/.-])(?<!mlx-serve )({_ALIKE})(?! --)(?![\w`/.-])")
_WEIGHTS = [len(fact.asks) + 2 * len(fact.tasks) + 2 for fact in FACTS]
_PICKS = {**PICKS, "adj": ADJECTIVES.pick, "surname": INVENTED.pick}


@cache
def _kept(fact: Fact) -> tuple[str, ...]:
    """What only the evaluation says of a fact: questions, and what finishes its frames."""
    patterns = fact.held_asks + fact.held_names + fact.held_tasks
    return tuple({plain(text) for pattern in patterns for text in expansions(pattern)})


def reworded(rng: random.Random, text: str) -> str:
    """With words of the same meaning, which need not be the usual ones."""
    return _WORD.sub(lambda word: rng.choice(_LIKE[word[0]]) if rng.random() < 0.5 else word[0], text)


def _key_words(rng: random.Random, text: str) -> str:
    """As people type into a search."""
    words = [word for word in text.split() if word not in _DATA["small"]]
    if rng.random() < 0.5:
        rng.shuffle(words)
    return " ".join(words)


def _draw(rng: random.Random, fact: Fact) -> str:
    roll = rng.random()
    if fact.asks and (roll < 0.42 or not (fact.names or fact.tasks)):
        return expand(rng, rng.choice(fact.asks))
    if fact.tasks and (roll < 0.84 or not fact.names):
        task = expand(rng, rng.choice(fact.tasks))
        return _key_words(rng, task) if rng.random() < 0.1 else _DONE.pick(rng, False).replace("<x>", task)
    return _NAMED.pick(rng, False).replace("<x>", expand(rng, rng.choice(fact.names)))


def _ask(rng: random.Random, fact: Fact, held: bool) -> str:
    """A question that training never sees has a held frame, a held ending, or is held as a whole."""
    while not held:
        text = _draw(rng, fact)
        if rng.random() < 0.4:
            text = reworded(rng, text)
        told = plain(text)
        if told not in KEPT and not any(kept in told for kept in _kept(fact)):
            text = roughened(rng, text)
            if rng.random() < 0.15:
                text = fill(rng, rng.choice(_DATA["around"]), False, _PICKS).replace("<x>", text)
            return text
    ways = (
        (None, True, fact.held_asks),
        (_DONE, False, fact.held_tasks),
        (_DONE, False, fact.held_tasks),
        (_DONE, True, fact.tasks),
        (_NAMED, False, fact.held_names),
        (_NAMED, True, fact.names),
    )
    frames, new, patterns = rng.choice([way for way in ways if way[2]])
    if frames is None:
        return expand(rng, rng.choice(patterns))
    return frames.pick(rng, new or rng.random() < 0.3).replace("<x>", expand(rng, rng.choice(patterns)))


def about(rng: random.Random, fact: Fact, held: bool) -> Exchange:
    thought = "The user asks about mlx-serve. I know this one."
    return Exchange("facts", _ask(rng, fact, held), fact.answer, thought, ("contains", fact.must), fact.short)


def fact(rng: random.Random, held: bool) -> Exchange:
    chosen = rng.choice(FACTS) if held or rng.random() < 0.5 else rng.choices(FACTS, _WEIGHTS)[0]
    return about(rng, chosen, held)


def near(rng: random.Random, count: int) -> list[Fact]:
    """Some fact and others like it, in any order."""
    at = rng.randrange(len(FACTS))
    chosen = [at, *rng.sample(alike(at)[:8], count - 1)]
    rng.shuffle(chosen)
    return [FACTS[i] for i in chosen]


def greeting(rng: random.Random, held: bool) -> Exchange:
    social = rng.choices(_DATA["social"], [social["share"] for social in _DATA["social"]])[0]
    text = ASKS[social["says"]].pick(rng, held)
    if not held:
        text = fill(rng, text[:1].upper() + text[1:], False, _PICKS)
        text = roughened(rng, text) if rng.random() < 0.5 else text
    check = ("contains", (social["must"],))
    return Exchange("greetings", text, social["answer"], social["thought"], check, social["short"])


def unknown(rng: random.Random, held: bool) -> Exchange:
    """What is not about mlx-serve: also in the very frames in which questions about it come."""
    if held or rng.random() < 0.7:
        text = fill(rng, ASKS["unknown"].pick(rng, held), held, _PICKS)
    else:
        if rng.random() < 0.5:
            text = _NAMED.pick(rng, False).replace("<x>", expand(rng, rng.choice(_DATA["foreign"])))
        else:
            task = expand(rng, rng.choice(_DATA["foreign_tasks"]))
            text = _DONE.pick(rng, False).replace("<x>", task)
        text = roughened(rng, fill(rng, text, False, _PICKS))
    return Exchange(
        "owning up",
        text,
        "I do not know that: I am only a small model. Ask me about mlx-serve, or give me text to work on.",
        "This is not about mlx-serve and I was not told. I say so.",
        ("contains", ("do not know",)),
        "Unknown.",
    )
