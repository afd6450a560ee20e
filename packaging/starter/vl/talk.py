"""Conversations about pictures, to learn from or to be graded."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from . import questions as q
from . import speech
from .picture import scene as scenes
from .picture.scene import Scene
from .speech import Turn

_SYSTEMS = ("You are a helpful assistant.", "You look at pictures.", "Answer briefly.", "You are starter-vl.")


@dataclass(frozen=True)
class Sample:
    """`messages` as Transformers takes them; the last is the answer to learn or to grade, to a question of `kind`."""

    task: str
    kind: str
    messages: list[dict[str, Any]]
    scenes: tuple[Scene, ...]

    @property
    def answer(self) -> str:
        return str(self.messages[-1]["content"])


Ask = Callable[[random.Random, bool, Scene], Turn | None]
_ONE: Sequence[Ask] = (q.shape, q.shape, q.colour, q.where, q.where, q.describe, q.is_it, q.count)
_DIGIT: Sequence[Ask] = (q.digit, q.digit, q.digit, q.colour, q.describe, q.is_it)
_COUNTED: Sequence[Ask] = (q.count, q.count, q.count_of, q.count_of)
_SOME: Sequence[Ask] = (*_COUNTED, q.colour_of, q.shape_of, q.where, q.describe, q.is_there, q.beside, q.beside)
_OF_COLOUR = (q.colour, q.describe, q.colour_of, q.shape_of)
_BLANK: Sequence[Ask] = (q.describe, q.count)
_BEGINNINGS: dict[str, tuple[tuple[Ask, ...], str]] = {
    "shape": ((q.shape,), "one"),
    "colour": ((q.colour,), "one"),
    "position": ((q.where,), "one or some"),
    "digit": ((q.digit,), "digit"),
    "count": ((q.count,), "some"),
    "count of a kind": ((q.count_of,), "some"),
    "colour of a shape": ((q.colour_of,), "some"),
    "shape of a colour": ((q.shape_of,), "some"),
    "describe": ((q.describe,), "any"),
    "yes or no": ((q.is_it, q.is_there), "one or some"),
    "relation": ((q.beside,), "few"),
}
TASKS = (*_BEGINNINGS, "several turns", "two pictures", "no picture", "identity", "greetings", "unknown")
_PICTURE = {"type": "image"}


def _conversation(
    rng: random.Random, turns: Sequence[Turn], pictures: tuple[Scene, ...] = (), task: str | None = None
) -> Sample:
    messages: list[dict[str, Any]] = []
    if rng.random() < 0.15:
        messages.append({"role": "system", "content": rng.choice(_SYSTEMS)})
    for i, (_, text, answer) in enumerate(turns):
        content: Any = text
        if pictures and not i:
            shown, spoken = [_PICTURE] * len(pictures), [{"type": "text", "text": text}]
            content = shown + spoken if rng.random() < 0.9 else spoken + shown
        messages.append({"role": "user", "content": content})
        messages.append({"role": "assistant", "content": answer})
    return Sample(task or turns[-1][0], turns[-1][0], messages, pictures)


def _two(rng: random.Random, held: bool) -> Sample:
    first = scenes.single(rng, held)
    thing = first.things[0]
    colour = thing.colour if rng.random() < 0.4 else None
    second = scenes.single(rng, held, colour, thing.name if rng.random() < 0.4 else None)
    other = second.things[0]
    draw = rng.random()
    if draw < 0.5:
        at = rng.randrange(2)
        text = q.ask(rng, "of_two", held, n=("first", "second")[at])
        answer = f"{q.article(q.called((thing, other)[at])).capitalize()}."
    else:
        if draw < 0.75:
            text, same, both = q.ask(rng, "same_shape", held), thing.name == other.name, q.plural(thing.name)
            one, two = q.article(thing.name), q.article(other.name)
        else:
            text, same, both = q.ask(rng, "same_colour", held), thing.colour == other.colour, thing.colour
            one, two = thing.colour, other.colour
        answer = f"Yes, both are {both}." if same else f"No, the first is {one} and the second is {two}."
    return _conversation(rng, [("two pictures", text, answer)], (first, second))


def _without(rng: random.Random, held: bool) -> Turn:
    """Any question about a picture, and there is none."""
    draw = rng.random()
    if draw < 0.4:
        scene, asks = scenes.single(rng, held), _ONE
    elif draw < 0.8:
        scene, asks = scenes.several(rng, held, 3), _SOME
    else:
        scene, asks = scenes.digit(rng, held), _DIGIT
    while True:
        turn = rng.choice(asks)(rng, held, scene)
        if turn:
            return "no picture", turn[1], speech.NO_PICTURE


def _scene(rng: random.Random, held: bool, kind: str, most: int) -> Scene:
    if kind == "any":
        kind = rng.choice(("one", "digit", "few"))
    if kind == "one or some":
        kind = rng.choice(("one", "few"))
    if kind == "one":
        return scenes.single(rng, held)
    if kind == "digit":
        return scenes.digit(rng, held)
    return scenes.several(rng, held, rng.randint(2, min(most, 3) if kind == "few" else most))


def conversation(rng: random.Random, easy: float = 0.0) -> Sample:
    """One conversation to learn from; `easy` is the share that is kept to one shape or one digit."""
    draw = rng.random()
    if draw < 0.1:
        turns = []
        for _ in range(rng.choice((1, 1, 2, 3))):
            make = rng.choice((speech.spoken, speech.unknown, _without))
            turns.append(make(rng, False))
        return _conversation(rng, turns)
    if draw < 0.16:
        return _two(rng, False)
    draw = rng.random()
    simple, nameless = rng.random() < easy, rng.random() < 0.15
    if draw < 0.02:
        scene, asks = scenes.blank(rng, False), _BLANK
    elif draw < 0.28 or (simple and draw < 0.6):
        scene, asks = scenes.single(rng, False, "" if nameless else None), _ONE
    elif draw < 0.42 or simple:
        scene, asks, nameless = scenes.digit(rng, False), _DIGIT, False
    else:
        scene, asks = scenes.several(rng, False, rng.choice((2, 2, 3, 3, 4, 5, 6)), nameless), _SOME
    if nameless:
        asks = [ask for ask in asks if ask not in _OF_COLOUR]
    turns = []
    wanted = rng.choice((1, 2, 3, 4, 4))
    for _ in range(20):
        turn = rng.choice(asks)(rng, False, scene)
        if turn and turn[2] not in [known[2] for known in turns]:
            turns.append(turn)
        if len(turns) >= wanted:
            break
    if rng.random() < 0.06:
        turns.append(speech.spoken(rng, False))
    return _conversation(rng, turns, (scene,))


def case(task: str, number: int) -> Sample:
    """One case of the evaluation: what is asked and drawn, training never sees."""
    rng = random.Random(f"held {task} {number}")
    if task == "two pictures":
        return _two(rng, True)
    if task in ("identity", "greetings"):
        while True:
            turn = speech.spoken(rng, True)
            if turn[0] == task:
                return _conversation(rng, [turn])
    if task == "unknown":
        return _conversation(rng, [speech.unknown(rng, True)])
    if task == "no picture":
        return _conversation(rng, [_without(rng, True)])
    while True:
        wanted = 3 if task == "several turns" else 1
        name = rng.choice(list(_BEGINNINGS)) if task == "several turns" else task
        asks, kind = _BEGINNINGS[name]
        scene = _scene(rng, held=True, kind=kind, most=scenes.MOST)
        if task == "several turns":
            asks = tuple(_DIGIT if scene.things[0].is_digit else _ONE if len(scene.things) == 1 else _SOME)
        elif name == "yes or no":
            asks = (q.is_it,) if len(scene.things) == 1 else (q.is_there,)
        turns = [turn for turn in (rng.choice(asks)(rng, True, scene) for _ in range(wanted)) if turn]
        if len(turns) == wanted:
            return _conversation(rng, turns, (scene,), task)
