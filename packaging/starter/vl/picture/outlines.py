"""What is drawn: outlines of shapes as polygons, and digits as strokes of a pen; each in many forms from one seed."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

Point = tuple[float, float]
SHAPES = ("circle", "square", "rectangle", "triangle", "oval", "star", "heart", "cross", "diamond")
DIGITS = tuple("0123456789")
NAMES = (*SHAPES, *DIGITS)


@dataclass(frozen=True)
class Strokes:
    """Lines of a digit within -1..1 (y goes down), and the pen: half its width and half its height."""

    lines: tuple[tuple[Point, ...], ...]
    pen: Point


def band(rng: random.Random, low: float, high: float, held: bool) -> float:
    """Training never draws from the fifth of eight bands; the evaluation draws from it alone."""
    while True:
        share = rng.random()
        if (4 <= share * 8 < 5) == held:
            return low + (high - low) * share
        if held:
            return low + (high - low) * (0.5 + share / 8)


def _ring(corners: int, start: float, radius: float = 1.0, wide: float = 1.0, high: float = 1.0) -> list[Point]:
    turns = (start + 2 * math.pi * i / corners for i in range(corners))
    return [(radius * wide * math.cos(turn), radius * high * math.sin(turn)) for turn in turns]


def _star(rng: random.Random, held: bool) -> list[Point]:
    inner = band(rng, 0.36, 0.52, held)
    outer, between = _ring(5, -math.pi / 2), _ring(5, -math.pi / 2 + math.pi / 5, inner)
    return [point for pair in zip(outer, between, strict=True) for point in pair]


def _heart(rng: random.Random, held: bool) -> list[Point]:
    wide = band(rng, 0.9, 1.05, held)
    points = []
    for i in range(40):
        t = 2 * math.pi * i / 40
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((wide * math.sin(t) ** 3, -(y + 2.5) / 15.5))
    return points


def _cross(rng: random.Random, held: bool) -> list[Point]:
    arm = band(rng, 0.2, 0.38, held)
    corner = [(arm, 1.0), (arm, arm), (1.0, arm)]
    points: list[Point] = []
    for x, y in ((1, 1), (1, -1), (-1, -1), (-1, 1)):
        quarter = [(x * a, y * b) for a, b in corner]
        points += quarter if x * y > 0 else quarter[::-1]
    return points


def _triangle(rng: random.Random, held: bool) -> list[Point]:
    half = band(rng, 0.7, 1.0, held)
    return [(rng.uniform(-0.15, 0.15), -0.9), (half, 0.75), (-half, 0.75)]


def outline(name: str, rng: random.Random, held: bool) -> list[Point]:
    """A polygon of about -1..1 around the origin, upright."""
    if name == "circle":
        return _ring(64, 0.0)
    if name == "oval":
        return _ring(64, 0.0, wide=1.0, high=band(rng, 0.45, 0.65, held))
    if name == "square":
        return _ring(4, math.pi / 4, 1.2)
    if name == "rectangle":
        high = band(rng, 0.36, 0.58, held)
        return [(1.0, high), (1.0, -high), (-1.0, -high), (-1.0, high)]
    if name == "diamond":
        return _ring(4, 0.0, 1.1, wide=band(rng, 0.62, 1.0, held))
    if name == "triangle":
        return _triangle(rng, held)
    if name == "star":
        return _star(rng, held)
    if name == "heart":
        return _heart(rng, held)
    return _cross(rng, held)


def _arc(x: float, y: float, wide: float, high: float, start: float, stop: float) -> list[Point]:
    count = max(4, int(abs(stop - start) / 18))
    turns = (math.radians(start + (stop - start) * i / count) for i in range(count + 1))
    return [(x + wide * math.cos(turn), y + high * math.sin(turn)) for turn in turns]


def _six(rng: random.Random) -> list[list[Point]]:
    high = rng.uniform(0.27, 0.34)
    loop = _arc(0.5, 1 - high, 0.44, high, 180, 540)
    if rng.random() < 0.3:
        return [loop, [(rng.uniform(0.6, 0.8), 0.0), (0.1, 1 - high * 1.25)]]
    wide = rng.uniform(0.55, 0.95)
    stem = _arc(0.06 + wide, 1 - high, wide, 1 - high, 180, 268)
    if wide < 0.7:
        stem = _arc(0.06 + wide, 1 - high, wide, 1 - high, 180, 310)
    return [loop, stem]


def _digit(digit: str, rng: random.Random) -> list[list[Point]]:
    """Lines within 0..1, y down."""
    choice = rng.random()
    if digit == "0":
        return [_arc(0.5, 0.5, 0.48, 0.5, 0, 360)]
    if digit == "1":
        flag = [(rng.uniform(0.1, 0.3), rng.uniform(0.12, 0.32)), (0.55, 0.0), (0.55, 1.0)]
        base = [(0.2, 1.0), (0.9, 1.0)]
        return [[(0.5, 0.0), (0.5, 1.0)]] if choice < 0.12 else [flag, base] if choice < 0.5 else [flag]
    if digit == "2":
        low = rng.uniform(10, 50)
        top = _arc(0.5, 0.29, 0.42, 0.29, rng.uniform(-190, -150), low)
        if choice < 0.5:
            return [[*top, (0.04, 1.0), (0.96, 1.0)]]
        return [[*top, (0.5, 0.66), (0.22, 0.82), (0.06, 1.0), (0.96, 1.0)]]
    if digit == "3":
        waist = rng.uniform(0.44, 0.5)
        low = _arc(0.44, (1 + waist) / 2, 0.47, (1 - waist) / 2, -90, rng.uniform(135, 170))
        if choice < 0.2:
            return [[(0.08, 0.0), (0.9, 0.0), (0.42, waist)], low]
        upper = _arc(0.46, waist / 2, 0.4, waist / 2, rng.uniform(-165, -140), 90)
        return [upper, low, [(0.25, waist), (0.5, waist)]]
    if digit == "4":
        bar, stem = rng.uniform(0.6, 0.76), rng.uniform(0.62, 0.78)
        if choice < 0.25:
            return [[(0.16, 0.0), (0.06, bar), (0.98, bar)], [(stem, rng.uniform(0.1, 0.4)), (stem, 1.0)]]
        return [[(stem, 0.0), (0.02, bar), (1.0, bar)], [(stem, 0.0), (stem, 1.0)]]
    if digit == "5":
        start = rng.uniform(-150, -115)
        bowl = _arc(0.46, 0.67, 0.45, 0.33, start, rng.uniform(135, 165))
        return [[(0.9, 0.0), (0.17, 0.0), (rng.uniform(0.06, 0.14), bowl[0][1] + 0.02), *bowl]]
    if digit == "6":
        return _six(rng)
    if digit == "7":
        foot = rng.uniform(0.2, 0.42)
        lines = [[(0.03, 0.0), (0.97, 0.0), (foot, 1.0)]]
        if choice < 0.35:
            lines = [[(0.03, 0.0), (0.97, 0.0), (0.62, 0.45), (0.45, 0.75), (foot, 1.0)]]
        if rng.random() < 0.25:
            lines.append([(0.3, 0.5), (0.85, 0.5)])
        if rng.random() < 0.2:
            lines.append([(0.03, 0.0), (0.03, 0.16)])
        return lines
    if digit == "8":
        waist, top = rng.uniform(0.44, 0.5), rng.uniform(0.34, 0.44)
        return [_arc(0.5, waist / 2, top, waist / 2, 0, 360), _arc(0.5, (1 + waist) / 2, 0.46, (1 - waist) / 2, 0, 360)]
    return [[(1 - x, 1 - y) for x, y in line] for line in _six(rng)]


def strokes(digit: str, rng: random.Random, held: bool) -> Strokes:
    """A digit in a hand of its own: pen, width, slant and a soft bend."""
    wide, slant = band(rng, 0.42, 0.78, held), band(rng, -0.12, 0.28, held)
    bend, phase, wave = (band(rng, 0.0, 0.07, held), rng.random() * 6.3, rng.uniform(2.0, 5.0))
    heavy = band(rng, 0.06, 0.2, held)
    contrast = rng.choice((1.0, 1.0, 1.0, rng.uniform(0.5, 1.0)))
    lines = []
    for line in _digit(digit, rng):
        moved = []
        for x, y in line:
            u, v = (2 * x - 1) * wide, 2 * y - 1
            moved.append((u - slant * v + bend * math.sin(wave * v + phase), v + bend * math.sin(wave * u + phase)))
        lines.append(tuple(moved))
    return Strokes(tuple(lines), (heavy, heavy * contrast))
