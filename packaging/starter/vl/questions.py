"""Single questions about a picture with their answers, read off the scene; None where a scene does not allow one."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

from .picture import scene as scenes
from .picture.scene import COLOURS, SHAPES, Scene, Thing
from .speech import Turn, finished
from .wordings import ASKS

NUMBERS = ("no", "one", "two", "three", "four", "five", "six")


def plural(shape: str) -> str:
    return "crosses" if shape == "cross" else shape + "s"


def article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou8" else f"a {noun}"


def called(thing: Thing) -> str:
    return f"{thing.colour} {thing.name}".strip()


def spot(cell: tuple[int, int]) -> str:
    """A cell of nine as it follows "is"."""
    row, column = scenes.ROWS[cell[0]], scenes.COLUMNS[cell[1]]
    if row and column:
        return f"in the {row} {column}"
    return f"at the {row}" if row else f"on the {column}" if column else "in the middle"


def _written(rng: random.Random, what: str, held: bool, **slots: str) -> str:
    """A wording with its gaps filled."""
    text = ASKS[what].pick(rng, held)
    for name, value in {"c": "colour" if rng.random() < 0.5 else "color", **slots}.items():
        text = text.replace("{" + name + "}", value)
    return text


def ask(rng: random.Random, what: str, held: bool, **slots: str) -> str:
    return finished(rng, _written(rng, what, held, **slots), "?", held)


def _turn(rng: random.Random, kind: str, what: str, held: bool, word: str, sentence: str, **slots: str) -> Turn:
    """Now and then one word is wanted, and only that is said."""
    text = ask(rng, what, held, **slots)
    if rng.random() >= 0.25:
        return kind, text, sentence
    end = "" if text[-1] in "?.!" else "."
    return kind, f"{text}{end} {ASKS['brief'].pick(rng, held)}{rng.choice(('.', '.', '!', ''))}", word.capitalize()


def grey(rng: random.Random, text: str) -> str:
    """In a question grey may be gray."""
    return text.replace("grey", "gray") if rng.random() < 0.3 else text


def shape(rng: random.Random, held: bool, scene: Scene) -> Turn:
    name = scene.things[0].name
    return _turn(rng, "shape", "shape", held, name, f"It is {article(name)}.")


def colour(rng: random.Random, held: bool, scene: Scene) -> Turn:
    thing = scene.things[0]
    if rng.random() < 0.5:
        return _turn(rng, "colour", "colour", held, thing.colour, f"It is {thing.colour}.")
    name = rng.choice(("digit", "number")) if thing.is_digit else thing.name
    return _turn(rng, "colour", "colour_of", held, thing.colour, f"The {name} is {thing.colour}.", t=name)


def digit(rng: random.Random, held: bool, scene: Scene) -> Turn:
    name = scene.things[0].name
    return _turn(rng, "digit", "digit", held, name, f"It is {article(name)}.")


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
    text = ask(rng, "where", held, t=grey(rng, name))
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


def _single(rng: random.Random, scene: Scene, field: str) -> Thing | None:
    """One whose name or colour no other has."""
    single = [thing for thing in scene.things if thing.colour and _alone(scene, thing, field)]
    return rng.choice(single) if single else None


def colour_of(rng: random.Random, held: bool, scene: Scene) -> Turn | None:
    """The colour of the only star, say."""
    if (thing := _single(rng, scene, "name")) is None:
        return None
    sentence = f"The {thing.name} is {thing.colour}."
    return _turn(rng, "colour of a shape", "colour_of", held, thing.colour, sentence, t=thing.name)


def shape_of(rng: random.Random, held: bool, scene: Scene) -> Turn | None:
    if (thing := _single(rng, scene, "colour")) is None:
        return None
    sentence = f"The {thing.colour} shape is {article(thing.name)}."
    return _turn(rng, "shape of a colour", "shape_of", held, thing.name, sentence, t=grey(rng, thing.colour))


def _counted(number: int, noun: str, nouns: str) -> tuple[str, str]:
    """In a word and in a sentence."""
    told = f"There is one {noun}." if number == 1 else f"There are {NUMBERS[number]} {nouns}."
    return NUMBERS[number] if number else "none", told


def count(rng: random.Random, held: bool, scene: Scene) -> Turn:
    return _turn(rng, "count", "count", held, *_counted(len(scene.things), "shape", "shapes"))


def count_of(rng: random.Random, held: bool, scene: Scene) -> Turn:
    present = rng.choice(scene.things)
    kind, hue = present.name, present.colour
    if rng.random() < 0.12:
        kind, hue = rng.choice(SHAPES), rng.choice(COLOURS)
    draw = rng.random() if present.colour else 0.0
    if draw < 0.45:
        noun, nouns, number = kind, plural(kind), sum(t.name == kind for t in scene.things)
    elif draw < 0.9:
        what = rng.choice(("shape", "thing", "object"))
        noun, nouns, number = f"{hue} {what}", f"{hue} {what}s", sum(t.colour == hue for t in scene.things)
    else:
        noun, nouns = f"{hue} {kind}", f"{hue} {plural(kind)}"
        number = sum(t.colour == hue and t.name == kind for t in scene.things)
    return _turn(rng, "count of a kind", "count_of", held, *_counted(number, noun, nouns), k=grey(rng, nouns))


def describe(rng: random.Random, held: bool, scene: Scene) -> Turn | None:
    """From left to right, where that is clear."""
    text = ask(rng, "describe", held)
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
    return "describe", text, f"{NUMBERS[len(parts)].capitalize()} shapes, from left to right: {listed}."


def _confirmed(yes: bool, is_so: str) -> str:
    return f"{'Yes' if yes else 'No'}, it is {is_so}."


def is_it(rng: random.Random, held: bool, scene: Scene) -> Turn:
    thing = scene.things[0]
    if thing.is_digit or not thing.colour or rng.random() < 0.7:
        among = scenes.DIGITS if thing.is_digit else SHAPES
        other = thing.name if rng.random() < 0.5 else rng.choice(among)
        text = ask(rng, "is_it", held, t=article(other))
        return "yes or no", text, _confirmed(other == thing.name, article(thing.name))
    hue = thing.colour if rng.random() < 0.5 else rng.choice(COLOURS)
    phrase = ASKS["is_colour"].pick(rng, held).replace("{t}", grey(rng, hue)).replace("{k}", thing.name)
    text = finished(rng, phrase.replace("{c}", "colour" if rng.random() < 0.5 else "color"))
    return "yes or no", text, _confirmed(hue == thing.colour, thing.colour)


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
        what, yes = f"{hue} {kind}", any((t.name, t.colour) == (kind, hue) for t in scene.things)
    text = ask(rng, "is_there", held, t=article(grey(rng, what)))
    return "yes or no", text, f"Yes, there is {article(what)}." if yes else f"No, there is no {what}."


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
        text = ask(rng, "which_side", held, t=f"{_side(rng, relation)} the {grey(rng, second)}")
        return "relation", text, f"{article(called(a)).capitalize()}."
    claimed = rng.choice(next(pair for pair in _SIDES if relation in pair))
    phrase = ASKS["beside"].pick(rng, held)
    verb = "" if phrase.startswith(("Is the", "Do you see", "Can you see")) else "is "
    text = phrase.replace("{t}", f"{grey(rng, first)} {verb}{_side(rng, claimed)} the {grey(rng, second)}")
    answer = f"{'Yes' if claimed == relation else 'No'}, the {first} is {relation} the {second}."
    return "relation", finished(rng, text), answer
