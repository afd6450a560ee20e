"""Draws scenes with Pillow, for the evaluation: another brush than training's, forms and fonts that it never uses."""

from __future__ import annotations

import math
import random
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFont

from .outlines import DIGITS, Point, outline, strokes
from .scene import Background, Scene, Thing

FINER = 3  # drawn so much larger, then scaled down
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
        (np.arange(scene.height, dtype=np.float32) + 0.5) / scene.height * height,
        (np.arange(scene.width, dtype=np.float32) + 0.5) / scene.width * width,
        indexing="ij",
    )
    cos, sin = math.cos(ground.angle), math.sin(ground.angle)
    u, v = x * cos + y * sin, y * cos - x * sin
    mix = np.zeros_like(u)
    if ground.kind == 1:
        mix = np.clip(u * 0.6 + 0.3, 0, 1)
    elif ground.kind == 2:
        mix = np.floor(u / ground.period) % 2
    elif ground.kind == 3:
        mix = (np.floor(u / ground.period) + np.floor(v / ground.period)) % 2
    first, second = (np.asarray(ground.first, np.float32), np.asarray(ground.second, np.float32))
    colour = first + (second - first) * mix[..., None]
    return Image.fromarray((colour * 255).round().astype(np.uint8))


def _ink(colour: tuple[float, float, float]) -> tuple[int, int, int]:
    return round(colour[0] * 255), round(colour[1] * 255), round(colour[2] * 255)


def _line(draw: ImageDraw.ImageDraw, points: list[Point], radius: float, value: int) -> None:
    """A line with round ends and joints."""
    draw.line(points, value, round(2 * radius))
    for x, y in points:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), value)


def _digit(thing: Thing, side: int, scale: float, rng: random.Random) -> Image.Image:
    """A mask of `side` pixels with the digit in its middle."""
    mask = Image.new("L", (side, side))
    draw = ImageDraw.Draw(mask)
    middle, high = side / 2, 1.8 * thing.size * scale
    if fonts() and rng.random() < 0.5:
        path = rng.choice(fonts())
        left, top, right, bottom = ImageFont.truetype(path, 100).getbbox(thing.name)
        font = ImageFont.truetype(path, 100 * high / (bottom - top))
        left, top, right, bottom = font.getbbox(thing.name)
        draw.text((middle - (left + right) / 2, middle - (top + bottom) / 2), thing.name, 255, font)
        return mask.rotate(-math.degrees(thing.angle), Image.Resampling.BILINEAR)
    drawn = strokes(thing.name, rng, True)
    cos, sin = math.cos(thing.angle), math.sin(thing.angle)
    for line in drawn.lines:
        points = [(middle + (u * cos - v * sin) * high / 2, middle + (u * sin + v * cos) * high / 2) for u, v in line]
        _line(draw, points, drawn.pen[0] * thing.size * scale, 255)
    return mask


def _masks(thing: Thing, side: int, scale: float, rng: random.Random) -> tuple[Image.Image, Image.Image]:
    """All of a shape, and its inside."""
    cos, sin = (math.cos(thing.angle) * thing.size * scale, math.sin(thing.angle) * thing.size * scale)
    points = [(side / 2 + u * cos - v * sin, side / 2 + u * sin + v * cos) for u, v in outline(thing.name, rng, True)]
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).polygon(points, 255)
    core = mask.copy()
    if thing.fill is not None or thing.edge is not None:
        depth = (0.12 if thing.fill is None else thing.fill) * thing.size * scale
        _line(ImageDraw.Draw(core), [*points, points[0]], depth, 0)
    return mask, core


def _paint(picture: Image.Image, thing: Thing) -> None:
    """The thing is drawn larger, on a square of its own, which falls on whole pixels of the picture."""
    rng = random.Random(f"form {thing.variant} {thing.x} {thing.y}")
    scale = min(picture.size)
    half = math.ceil(1.5 * thing.size * scale) + 1
    x, y = thing.x * scale, thing.y * scale
    left, top = math.floor(x) - half, math.floor(y) - half
    shift = ((x - left - half) * FINER, (y - top - half) * FINER)
    side = 2 * half * FINER

    def small(mask: Image.Image) -> Image.Image:
        moved = mask.transform(mask.size, Image.Transform.AFFINE, (1, 0, -shift[0], 0, 1, -shift[1]))
        return moved.resize((2 * half, 2 * half), Image.Resampling.BOX)

    if thing.name in DIGITS:
        picture.paste(_ink(thing.rgb), (left, top), small(_digit(thing, side, scale * FINER, rng)))
        return
    mask, core = _masks(thing, side, scale * FINER, rng)
    if thing.edge is not None:
        picture.paste(_ink(thing.edge), (left, top), small(mask))
    if thing.fill is not None:
        mask = ImageChops.subtract(mask, core)
    picture.paste(_ink(thing.rgb), (left, top), small(core if thing.edge is not None else mask))


def paint(scene: Scene) -> Image.Image:
    """The picture in its own size."""
    picture = _ground(scene.background, scene)
    for thing in scene.things:
        _paint(picture, thing)
    if not scene.background.noise:
        return picture
    spread = scene.background.noise * 255
    noise = np.random.default_rng(scene.width * 1000 + scene.height).normal(0, spread, (scene.height, scene.width, 3))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))
