"""What a picture holds: things with a name, a colour and a place, on a background; drawn by `atlas` or by `painter`."""

from __future__ import annotations

import colorsys
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...common.data import beside
from .outlines import DIGITS, SHAPES, band

Colour = tuple[float, float, float]  # red, green, blue from 0 to 1
Range = Sequence[float]  # from, to
Ranges = Sequence[Range]  # of hue in degrees, saturation and brightness from 0 to 1
MOST = 6
VARIANTS = 96  # forms of each name that training knows

_DATA = beside(__file__)
_SHADES: dict[str, list[Ranges]] = _DATA["shades"]
COLOURS = tuple(_SHADES)
_HELD_PAIRS = sorted(map(tuple, _DATA["held_pairs"]))
HELD_PAIRS = frozenset(_HELD_PAIRS)
ROWS, COLUMNS = ("top", "", "bottom"), ("left", "", "right")
_CLEAR: tuple[Range, ...] = ((0.0, 0.32), (0.4, 0.6), (0.68, 1.0))  # a place between is asked about by nobody


@dataclass(frozen=True)
class Thing:
    """`colour` is empty where it has no name. `x`, `y` and `size`, about half the height, count in the picture's short
    side; `angle` turns, in radians.

    `fill` is the share of the outline's depth that is painted; None paints all. `edge` is a border of another colour.
    """

    name: str
    colour: str
    rgb: Colour
    x: float
    y: float
    size: float
    angle: float
    fill: float | None
    edge: Colour | None
    variant: int

    @property
    def is_digit(self) -> bool:
        return self.name in DIGITS


@dataclass(frozen=True)
class Background:
    """Two near colours: one, a slope between both, stripes or a chequerboard. `noise` is the spread of each pixel."""

    kind: int
    first: Colour
    second: Colour
    angle: float
    period: float
    noise: float


@dataclass(frozen=True)
class Scene:
    width: int
    height: int
    background: Background
    things: tuple[Thing, ...]

    @property
    def size(self) -> tuple[float, float]:
        side = min(self.width, self.height)
        return self.width / side, self.height / side

    def cell(self, thing: Thing) -> tuple[int, int] | None:
        """Row and column of nine, or None where people would not agree."""
        width, height = self.size
        found = []
        for share in (thing.y / height, thing.x / width):
            clear = [i for i, (low, high) in enumerate(_CLEAR) if low <= share <= high]
            if not clear:
                return None
            found.append(clear[0])
        return found[0], found[1]


def _is_held(colour: Colour) -> bool:
    """One in nine of the shades, in steps of sixteen, is the evaluation's."""
    steps = bytes(int(part * 255) >> 4 for part in colour)
    return zlib.crc32(b"shade" + steps) % 9 == 0


def _mixed(rng: random.Random, ranges: Ranges) -> Colour:
    hue, saturation, brightness = (rng.uniform(low, high) for low, high in ranges)
    return colorsys.hsv_to_rgb(hue / 360 % 1, saturation, brightness)


def shade(rng: random.Random, name: str, held: bool) -> Colour:
    for _ in range(60):
        colour = _mixed(rng, rng.choice(_SHADES[name]))
        if _is_held(colour) == held:
            break
    return colour


def _apart(a: Colour, b: Colour) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5


def background(rng: random.Random, held: bool) -> Background:
    """Pale, dark or dull, so that it is no colour that things have; white is the most frequent."""
    draw = rng.random()
    kind = "pale" if draw < 0.65 else "dark" if draw < 0.85 else "dull"
    first = (1.0, 1.0, 1.0) if draw < 0.3 else _mixed(rng, _DATA["grounds"][kind])
    kind = rng.choice((0, 0, 0, 1, 2, 3))
    spread = 0.0 if not kind else band(rng, 0.02, 0.12, held)
    second = tuple(min(1.0, max(0.0, part + rng.choice((-spread, spread)))) for part in first)
    noise = rng.choice((0.0, 0.0, rng.uniform(0.0, 0.05)))
    return Background(kind, first, second, band(rng, 0.0, 3.2, held), band(rng, 0.12, 0.5, held), noise)


def _thing(rng: random.Random, name: str, ground: Background, held: bool, colour: str | None = None) -> Thing:
    if held and name not in DIGITS and rng.random() < 0.15:
        name, colour = rng.choice(_HELD_PAIRS)
    while True:
        chosen = COLOURS[int(rng.random() * len(COLOURS))] if colour is None else colour
        rgb = shade(rng, chosen, held) if chosen else _mixed(rng, rng.choice(_DATA["nameless"]))
        clear = min(_apart(rgb, ground.first), _apart(rgb, ground.second)) > 0.3
        if clear and (held or (name, chosen) not in HELD_PAIRS):
            break
        colour = colour if colour == "" else None
    draw = rng.random()
    fill = None
    edge: Colour | None = None
    if name in DIGITS:
        turn = 0.2
    else:
        turn = {"circle": 3.2, "oval": 3.2, "rectangle": 3.2, "square": 0.35, "diamond": 0.14}.get(name, 0.5)
        if rng.random() < 0.4:
            turn = 0.0
        if draw < 0.2 and name != "oval":  # which would be a nought
            fill = rng.uniform(0.16, 0.3)
        elif draw < 0.35:
            edge = (0.0, 0.0, 0.0) if sum(rgb) > 1.2 else (1.0, 1.0, 1.0)
    # A rectangle or an oval lies or stands more often than it leans.
    angle = rng.uniform(-turn, turn)
    if name in ("rectangle", "oval") and rng.random() < 0.6:
        angle = rng.choice((0.0, 1.5708)) + rng.uniform(-0.1, 0.1)
    return Thing(name, chosen, rgb, 0.0, 0.0, 0.0, angle, fill, edge, rng.randrange(VARIANTS))


def _canvas(rng: random.Random, held: bool) -> tuple[int, int]:
    side = rng.randint(56, 448)
    draw = rng.random()
    ratio = 1.0 if draw < 0.4 else band(rng, 1.05, 2.0, held)
    long = min(640, int(side * ratio))
    return (long, side) if rng.random() < 0.6 else (side, long)


def blank(rng: random.Random, held: bool) -> Scene:
    return Scene(*_canvas(rng, held), background(rng, held), ())


def single(rng: random.Random, held: bool, colour: str | None = None, name: str | None = None) -> Scene:
    """One shape, in one of nine places; what is large is in the middle."""
    ground = background(rng, held)
    canvas = _canvas(rng, held)
    scene = Scene(*canvas, ground, ())
    width, height = scene.size
    thing = _thing(rng, name or rng.choice(SHAPES), ground, held, colour)
    if rng.random() < 0.35:
        x, y = width * rng.uniform(0.42, 0.58), height * rng.uniform(0.42, 0.58)
    else:
        x, y = (extent * rng.uniform(*rng.choice(((0.1, 0.3), (0.42, 0.58), (0.7, 0.9)))) for extent in (width, height))
    room = min(x, y, width - x, height - y)
    size = max(0.09, min(0.46, band(rng, 0.5, 1.0, held) * room))
    x, y = min(max(x, size), width - size), min(max(y, size), height - size)
    return Scene(*canvas, ground, (replace(thing, x=x, y=y, size=size),))


def digit(rng: random.Random, held: bool) -> Scene:
    """One large digit."""
    ground = background(rng, held)
    canvas = _canvas(rng, held)
    width, height = Scene(*canvas, ground, ()).size
    thing = _thing(rng, rng.choice(DIGITS), ground, held)
    size = band(rng, 0.24, 0.47, held)
    slack_x, slack_y = max(0.0, width / 2 - size), max(0.0, height / 2 - size)
    x, y = (width / 2 + rng.uniform(-1, 1) * slack_x, height / 2 + rng.uniform(-1, 1) * slack_y)
    return Scene(*canvas, ground, (replace(thing, x=x, y=y, size=size),))


def several(rng: random.Random, held: bool, count: int, nameless: bool = False) -> Scene:
    """Shapes that do not touch; a picture may hold one kind or one colour more often than chance would."""
    ground = background(rng, held)
    canvas = _canvas(rng, held)
    width, height = Scene(*canvas, ground, ()).size
    names = rng.sample(SHAPES, rng.choice((1, 2, 2, 3, 9)))
    colours = [""] if nameless else rng.sample(COLOURS, rng.choice((1, 2, 3, 3, 11)))
    largest = {2: 0.24, 3: 0.21, 4: 0.19, 5: 0.165, 6: 0.15}[count]
    things: list[Thing] = []
    while len(things) < count:
        things.clear()
        base = band(rng, 0.085, largest, held)
        for _ in range(60):
            size = max(0.08, base * rng.uniform(0.8, 1.2))
            reach = size * 1.12
            x, y = rng.uniform(reach, width - reach), rng.uniform(reach, height - reach)
            if all((x - t.x) ** 2 + (y - t.y) ** 2 > (1.25 * (size + t.size) + 0.02) ** 2 for t in things):
                thing = _thing(rng, rng.choice(names), ground, held, rng.choice(colours))
                things.append(replace(thing, x=x, y=y, size=size))
                if len(things) == count:
                    break
    return Scene(*canvas, ground, tuple(things))
