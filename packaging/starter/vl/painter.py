"""Draws scenes with Pillow, for the evaluation: another brush than training's, forms and fonts that it never uses."""

from __future__ import annotations

import math
import random
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .outlines import DIGITS, Point, outline, strokes
from .scene import Background, Scene, Thing

FINER = 4  # drawn so much larger, then scaled down
_FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf")


@cache
def fonts() -> tuple[str, ...]:
    """DejaVu's fonts where a system or matplotlib has them; without them digits are drawn with a pen."""
    folders = [Path("/usr/share/fonts/truetype/dejavu")]
    try:
        import matplotlib

        folders.append(Path(matplotlib.get_data_path()) / "fonts" / "ttf")
    except ImportError:
        pass
    for folder in folders:
        found = tuple(str(folder / name) for name in _FONTS if (folder / name).is_file())
        if found:
            return found
    return ()


def _ground(ground: Background, scene: Scene) -> Image.Image:
    width, height = scene.size
    y, x = np.meshgrid(
        (np.arange(scene.height * FINER) + 0.5) / (scene.height * FINER) * height,
        (np.arange(scene.width * FINER) + 0.5) / (scene.width * FINER) * width,
        indexing="ij",
    )
    u, v = x * math.cos(ground.angle) + y * math.sin(ground.angle), y * math.cos(ground.angle) - x * math.sin(ground.angle)
    mix = (
        np.zeros_like(u),
        np.clip(u * 0.6 + 0.3, 0, 1),
        np.floor(u / ground.period) % 2,
        (np.floor(u / ground.period) + np.floor(v / ground.period)) % 2,
    )[ground.kind][..., None]
    colour = np.asarray(ground.first) * (1 - mix) + np.asarray(ground.second) * mix
    return Image.fromarray((colour * 255).round().astype(np.uint8))


def _ink(colour: tuple[float, float, float]) -> tuple[int, int, int]:
    return round(colour[0] * 255), round(colour[1] * 255), round(colour[2] * 255)


def _line(draw: ImageDraw.ImageDraw, points: list[Point], radius: float, value: int) -> None:
    """A line with round ends and joints."""
    draw.line(points, value, round(2 * radius))
    for x, y in points:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), value)


def _digit(thing: Thing, size: tuple[int, int], scale: float, rng: random.Random) -> Image.Image:
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    x, y, high = thing.x * scale, thing.y * scale, 1.8 * thing.size * scale
    if fonts() and rng.random() < 0.5:
        path = rng.choice(fonts())
        left, top, right, bottom = ImageFont.truetype(path, 100).getbbox(thing.name)
        font = ImageFont.truetype(path, 100 * high / (bottom - top))
        left, top, right, bottom = font.getbbox(thing.name)
        draw.text((x - (left + right) / 2, y - (top + bottom) / 2), thing.name, 255, font)
        return mask.rotate(-math.degrees(thing.angle), Image.Resampling.BILINEAR, center=(x, y))
    drawn = strokes(thing.name, rng, True)
    cos, sin = math.cos(thing.angle), math.sin(thing.angle)
    unit = high / 2
    for line in drawn.lines:
        points = [(x + (u * cos - v * sin) * unit, y + (u * sin + v * cos) * unit) for u, v in line]
        _line(draw, points, drawn.pen[0] * thing.size * scale, 255)
    return mask


def _paint(picture: Image.Image, thing: Thing, scale: float) -> None:
    rng = random.Random(f"form {thing.variant} {thing.x} {thing.y}")
    if thing.name in DIGITS:
        picture.paste(_ink(thing.rgb), mask=_digit(thing, picture.size, scale, rng))
        return
    cos, sin = math.cos(thing.angle), math.sin(thing.angle)
    points = [
        ((thing.x + (u * cos - v * sin) * thing.size) * scale, (thing.y + (u * sin + v * cos) * thing.size) * scale)
        for u, v in outline(thing.name, rng, True)
    ]
    mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).polygon(points, 255)
    if thing.fill is None and thing.edge is None:
        picture.paste(_ink(thing.rgb), mask=mask)
        return
    core = mask.copy()
    depth = (0.12 if thing.fill is None else thing.fill) * thing.size * scale
    _line(ImageDraw.Draw(core), [*points, points[0]], depth, 0)
    if thing.edge is not None:
        picture.paste(_ink(thing.edge), mask=mask)
        picture.paste(_ink(thing.rgb), mask=core)
    else:
        rim = Image.fromarray(np.asarray(mask) - np.minimum(np.asarray(core), np.asarray(mask)))
        picture.paste(_ink(thing.rgb), mask=rim)


def paint(scene: Scene) -> Image.Image:
    """The picture in its own size."""
    picture = _ground(scene.background, scene)
    scale = min(scene.width, scene.height) * FINER
    for thing in scene.things:
        _paint(picture, thing, scale)
    small = picture.resize((scene.width, scene.height), Image.Resampling.BOX)
    if not scene.background.noise:
        return small
    noise = np.random.default_rng(scene.width * 1000 + scene.height).normal(0, scene.background.noise * 255, (scene.height, scene.width, 3))
    return Image.fromarray(np.clip(np.asarray(small) + noise, 0, 255).astype(np.uint8))
