"""Single questions about a picture with their answers, read off the scene; None where a scene does not allow one."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

from ..common.phrases import Phrases
from . import scene as scenes
from .scene import COLOURS, SHAPES, Scene, Thing
from .speech import Turn, finished
from .wordings import ASKS

NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
_PLURALS = {"cross": "crosses"}


def plural(shape: str) -> str:
    return _PLURALS.get(shape, shape + "s")


def article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def called(thing: Thing) -> str:
    return f"{thing.colour} {thing.name}".strip()


def spot(cell: tuple[int, int]) -> str:
    """A cell of nine as it follows "is"."""
    row, column = scenes.ROWS[cell[0]], scenes.COLUMNS[cell[1]]
    if row and column:
        return f"in the {row} {column}"
    return f"at the {row}" if row else f"on the {column}" if column else "in the middle"


def ask(rng: random.Random, phrases: Phrases, held: bool, *, brief: bool = False, **slots: str) -> tuple[str, bool]:
    """A question, and whether one word is wanted."""
    text = phrases.pick(rng, held)
    text = text.replace("{c}", "colour" if rng.random() < 0.5 else "color")
    for name, value in slots.items():
        text = text.replace("{" + name + "}", value)
    text = finished(rng, text, "?", held)
    if brief and rng.random() < 0.25:
        end = "" if text[-1] in "?.!" else "."
        text = f"{text}{end} {ASKS['brief'].pick(rng, held)}{rng.choice(('.', '.', '!', ''))}"
        return text, True
    return text, False


def grey(rng: random.Random, text: str) -> str:
    """In a question grey may be gray."""
    return text.replace("grey", "gray") if rng.random() < 0.3 else text


def shape(rng: random.Random, held: bool, scene: Scene) -> Turn:
    thing = scene.things[0]
    text, brief = ask(rng, ASKS["shape"], held, brief=True)
    return ("shape", text, thing.name.capitalize() if brief else f"It is {article(thing.name)}.")


def colour(rng: random.Random, held: bool, scene: Scene) -> Turn:
    thing = scene.things[0]
    if rng.random() < 0.5:
        text, brief = ask(rng, ASKS["colour"], held, brief=True)
        return ("colour", text, thing.colour.capitalize() if brief else f"It is {thing.colour}.")
    name = rng.choice(("digit", "number")) if thing.is_digit else thing.name
    text, brief = ask(rng, ASKS["colour_of"], held, brief=True, t=name)
    return ("colour", text, thing.colour.capitalize() if brief else f"The {name} is {thing.colour}.")


def digit(rng: random.Random, held: bool, scene: Scene) -> Turn:
    text, brief = ask(rng, ASKS["digit"], held, brief=True)
    return ("digit", text, scene.things[0].name if brief else f"It is a {scene.things[0].name}.".replace("a 8", "an 8"))


def where(rng: random.Random, held: bool, scene: Scene) -> Turn | None:
    clear = [thing for thing in _unique(scene) if scene.cell(thing)]
    if not clear:
        return None
    thing = rng.choice(clear)
    cell = scene.cell(thing)
    if cell is None:
        return None
    name = thing.name if _alone(scene, thing, "name") and rng.random() < 0.6 else called(thing)
    if len(scene.things) == 1 and rng.random() < 0.3:
        name = "shape"
    text, _ = ask(rng, ASKS["where"], held, t=grey(rng, name))
    if len(scene.things) > 1:
        text = text.replace(" it ", f" the {name} ")
        if name not in text and "gray" not in text:
            return None
    subject = "The " + name if name in text.replace("gray", "grey") else "It"
    return "position", text, f"{subject} is {spot(cell)}."


def _alone(scene: Scene, thing: Thing, field: str) -> bool:
    return sum(getattr(other, field) == getattr(thing, field) for other in scene.things) == 1


def _unique(scene: Scene) -> list[Thing]:
    counted = Counter(called(thing) for thing in scene.things)
    return [thing for thing in scene.things if counted[called(thing)] == 1]


def colour_of(rng: random.Random, held: bool, scene: Scene) -> Turn | None:
    """The colour of the only star, say."""
    single = [thing for thing in scene.things if thing.colour and _alone(scene, thing, "name")]
    if not single:
        return None
    thing = rng.choice(single)
    text, brief = ask(rng, ASKS["colour_of"], held, brief=True, t=thing.name)
    return ("colour of a shape", text, thing.colour.capitalize() if brief else f"The {thing.name} is {thing.colour}.")


def shape_of(rng: random.Random, held: bool, scene: Scene) -> Turn | None:
    single = [thing for thing in scene.things if thing.colour and _alone(scene, thing, "colour")]
    if not single:
        return None
    thing = rng.choice(single)
    text, brief = ask(rng, ASKS["shape_of"], held, brief=True, t=grey(rng, thing.colour))
    answer = thing.name.capitalize() if brief else f"The {thing.colour} shape is {article(thing.name)}."
    return "shape of a colour", text, answer


def _many(number: int, noun: str, nouns: str) -> str:
    if number == 1:
        return f"There is one {noun}."
    return f"There are {NUMBERS[number]} {nouns}."


def _numbered(number: int) -> str:
    return "None" if not number else NUMBERS[number].capitalize()


def count(rng: random.Random, held: bool, scene: Scene) -> Turn:
    text, brief = ask(rng, ASKS["count"], held, brief=True)
    number = len(scene.things)
    return ("count", text, _numbered(number) if brief else _many(number, "shape", "shapes"))


def count_of(rng: random.Random, held: bool, scene: Scene) -> Turn:
    present = rng.choice(scene.things)
    kind, hue = present.name, present.colour
    if rng.random() < 0.12:
        kind, hue = rng.choice(SHAPES), rng.choice(COLOURS)
    draw = rng.random() if present.colour else 0.0
    if draw < 0.45:
        noun, nouns, number = (kind, plural(kind), sum(t.name == kind for t in scene.things))
    elif draw < 0.9:
        what = rng.choice(("shape", "thing", "object"))
        noun, nouns, number = (f"{hue} {what}", f"{hue} {what}s", sum(t.colour == hue for t in scene.things))
    else:
        number = sum(t.colour == hue and t.name == kind for t in scene.things)
        noun, nouns = f"{hue} {kind}", f"{hue} {plural(kind)}"
    text, brief = ask(rng, ASKS["count_of"], held, brief=True, k=grey(rng, nouns))
    return ("count of a kind", text, _numbered(number) if brief else _many(number, noun, nouns))


def describe(rng: random.Random, held: bool, scene: Scene) -> Turn | None:
    """From left to right, where that is clear."""
    text, _ = ask(rng, ASKS["describe"], held)
    if not scene.things:
        return "describe", text, "The picture is empty."
    if len(scene.things) == 1:
        thing = scene.things[0]
        if thing.is_digit:
            return "describe", text, f"The digit {thing.name} in {thing.colour}."
        cell = scene.cell(thing)
        at = f" {spot(cell)}" if cell else ""
        return "describe", text, f"{article(called(thing)).capitalize()}{at}."
    ordered = sorted(scene.things, key=lambda thing: thing.x)
    if any(b.x - a.x < 0.09 for a, b in pairwise(ordered)):
        return None
    parts = [article(called(thing)) for thing in ordered]
    listed = f"{', '.join(parts[:-1])} and {parts[-1]}"
    return ("describe", text, f"{NUMBERS[len(parts)].capitalize()} shapes, from left to right: {listed}.")


def is_it(rng: random.Random, held: bool, scene: Scene) -> Turn:
    thing = scene.things[0]
    if thing.is_digit:
        other = thing.name if rng.random() < 0.5 else rng.choice(scenes.DIGITS)
        text, _ = ask(rng, ASKS["is_it"], held, t="an 8" if other == "8" else f"a {other}")
        right = "an 8" if thing.name == "8" else f"a {thing.name}"
        return ("yes or no", text, f"Yes, it is {right}." if other == thing.name else f"No, it is {right}.")
    if not thing.colour or rng.random() < 0.7:
        other = thing.name if rng.random() < 0.5 else rng.choice(SHAPES)
        text, _ = ask(rng, ASKS["is_it"], held, t=article(other))
        yes = other == thing.name
        return ("yes or no", text, f"{'Yes' if yes else 'No'}, it is {article(thing.name)}.")
    hue = thing.colour if rng.random() < 0.5 else rng.choice(COLOURS)
    text = ASKS["is_colour"].pick(rng, held).replace("{t}", grey(rng, hue)).replace("{k}", thing.name)
    text = text.replace("{c}", "colour" if rng.random() < 0.5 else "color")
    yes = hue == thing.colour
    return ("yes or no", finished(rng, text), f"{'Yes' if yes else 'No'}, it is {thing.colour}.")


def is_there(rng: random.Random, held: bool, scene: Scene) -> Turn:
    """A shape, or a shape of a colour: half of those that are not there share one of both with one that is."""
    known = rng.choice(scene.things)
    kind, hue = known.name, known.colour
    if rng.random() < 0.5:
        draw = rng.random()
        kind = rng.choice(SHAPES) if draw < 0.6 else kind
        hue = rng.choice(COLOURS) if draw > 0.4 else hue
    if not known.colour or rng.random() < 0.4:
        what, yes = kind, any(t.name == kind for t in scene.things)
    else:
        what, yes = (f"{hue} {kind}", any((t.name, t.colour) == (kind, hue) for t in scene.things))
    text, _ = ask(rng, ASKS["is_there"], held, t=article(grey(rng, what)))
    return ("yes or no", text, f"Yes, there is {article(what)}." if yes else f"No, there is no {what}.")


_SIDES = (("left of", "right of"), ("above", "below"))


def _relation(a: Thing, b: Thing) -> str | None:
    """How a stands to b, where one direction clearly wins."""
    dx, dy = a.x - b.x, a.y - b.y
    if abs(dx) > max(0.2, 1.5 * abs(dy)):
        return _SIDES[0][dx > 0]
    if abs(dy) > max(0.2, 1.5 * abs(dx)):
        return _SIDES[1][dy > 0]
    return None


def _side(rng: random.Random, relation: str) -> str:
    if relation.endswith("of"):
        return f"{rng.choice(('', 'to the ', 'on the '))}{relation}" if rng.random() < 0.8 else f"to the {relation}"
    return rng.choice((relation, {"above": "over", "below": "under"}[relation])) if rng.random() < 0.3 else relation


def beside(rng: random.Random, held: bool, scene: Scene) -> Turn | None:
    """Whether one stands left of another, or what stands there when they are two."""
    unique = _unique(scene)
    if len(unique) < 2:
        return None
    a, b = rng.sample(unique, 2)
    relation = _relation(a, b)
    if relation is None:
        return None
    short = a.name != b.name and _alone(scene, a, "name") and _alone(scene, b, "name") and rng.random() < 0.6
    first, second = (a.name, b.name) if short else (called(a), called(b))
    if len(scene.things) == 2 and rng.random() < 0.5:
        text, _ = ask(rng, ASKS["which_side"], held, t=f"{_side(rng, relation)} the {grey(rng, second)}")
        return "relation", text, f"{article(called(a)).capitalize()}."
    pair = next(pair for pair in _SIDES if relation in pair)
    claimed = rng.choice(pair)
    phrase = ASKS["beside"].pick(rng, held)
    verb = "" if phrase.startswith(("Is the", "Do you see", "Can you see")) else "is "
    text = phrase.replace("{t}", f"{grey(rng, first)} {verb}{_side(rng, claimed)} the {grey(rng, second)}")
    yes = claimed == relation
    return ("relation", finished(rng, text), f"{'Yes' if yes else 'No'}, the {first} is {relation} the {second}.")
