"""Draws scenes on the device, straight into the model's patches: every form is a texture of distances to its edge."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .outlines import DIGITS, NAMES, outline, strokes
from .scene import MOST, VARIANTS, Scene

TEXELS, REACH = 64, 1.3  # a texture covers -REACH..REACH in the unit of a thing's size
PATCH = 16
FIELDS, NEAR = 16, 3
_FONT_EVERY = 4  # of the digits' forms, one in so many comes from the font that Pillow brings


def _grid() -> Tensor:
    steps = ((torch.arange(TEXELS) + 0.5) / TEXELS * 2 - 1) * REACH
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack((x, y), -1).view(-1, 2)


def _to_segments(points: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The distance of each point to the nearest segment."""
    along = b - a
    at = ((points[:, None] - a) * along).sum(-1) / along.square().sum(-1).clamp_min(1e-9)
    nearest = a + at.clamp(0, 1).unsqueeze(-1) * along
    return (points[:, None] - nearest).norm(dim=-1).amin(1)


def _polygon(points: Tensor, corners: Tensor) -> Tensor:
    """Signed distances, negative inside."""
    after = corners.roll(-1, 0)
    x, y = points[:, None, 0], points[:, None, 1]
    crosses = (corners[:, 1] > y) != (after[:, 1] > y)
    at = corners[:, 0] + (y - corners[:, 1]) * (after - corners)[:, 0] / (after - corners)[:, 1].where(
        (after - corners)[:, 1].abs() > 1e-9, torch.full((), 1e-9)
    )
    inside = ((crosses & (x < at)).sum(1) % 2).bool()
    distance = _to_segments(points, corners, after)
    return torch.where(inside, -distance, distance)


def _stroked(points: Tensor, digit: str, rng: random.Random) -> Tensor:
    drawn = strokes(digit, rng, False)
    scale = torch.tensor([1.0, drawn.pen[0] / drawn.pen[1]])
    starts = torch.tensor([point for line in drawn.lines for point in line[:-1]]) * 0.9
    ends = torch.tensor([point for line in drawn.lines for point in line[1:]]) * 0.9
    return _to_segments(points * scale, starts * scale, ends * scale) - drawn.pen[0]


@cache
def _font_edge(digit: str) -> tuple[Tensor, NDArray[np.bool_]] | None:
    """Points of the edge and the mask of a digit in Pillow's own font, 192 pixels high; None without it."""
    try:
        from PIL import Image, ImageDraw, ImageFont, features
    except ImportError:
        return None
    if not features.check("freetype2"):
        return None
    font = ImageFont.load_default(150)
    left, top, right, bottom = font.getbbox(digit)
    image = Image.new("L", (192, 192))
    ImageDraw.Draw(image).text((96 - (left + right) / 2, 96 - (top + bottom) / 2), digit, 255, font)
    mask = np.asarray(image) > 127
    edge = mask & ~(np.roll(mask, 1, 0) & np.roll(mask, -1, 0) & np.roll(mask, 1, 1) & np.roll(mask, -1, 1))
    y, x = np.nonzero(edge)
    scale = (bottom - top) / 2 / 0.95
    return torch.from_numpy(np.stack(((x - 95.5) / scale, (y - 95.5) / scale), -1)).float(), mask


def _from_font(points: Tensor, digit: str, rng: random.Random) -> Tensor | None:
    """The font's digit, made narrower or wider, slanted, lighter or heavier."""
    found = _font_edge(digit)
    if found is None:
        return None
    edge, mask = found
    wide, slant = rng.uniform(0.75, 1.15), rng.uniform(-0.08, 0.25)
    moved = torch.stack((edge[:, 0] * wide - slant * edge[:, 1], edge[:, 1]), -1)
    distance = torch.cdist(points, moved).amin(1)
    scale = float(moved[:, 1].max() / (np.nonzero(mask)[0].max() - 95.5))
    back = torch.stack(((points[:, 0] + slant * points[:, 1]) / wide, points[:, 1]), -1) / scale + 95.5
    at = back.round().long().clamp(0, 191)
    inside = torch.from_numpy(mask)[at[:, 1], at[:, 0]]
    return torch.where(inside, -distance, distance) - rng.uniform(-0.04, 0.09)


def textures(seed: int, variants: int = VARIANTS) -> Tensor:
    """Every form of every name, [names * variants, TEXELS, TEXELS]: texture i is variant i % variants of a name."""
    points, made = _grid(), []
    for name in NAMES:
        for variant in range(variants):
            rng = random.Random(f"atlas {seed} {name} {variant}")
            if name in DIGITS:
                drawn = _from_font(points, name, rng) if variant % _FONT_EVERY == 0 else None
                made.append(_stroked(points, name, rng) if drawn is None else drawn)
            else:
                made.append(_polygon(points, torch.tensor(outline(name, rng, False))))
    return torch.stack(made).view(-1, TEXELS, TEXELS)


_INDEX = {name: i * VARIANTS for i, name in enumerate(NAMES)}


def described(scene: Scene, pixels: tuple[int, int], rng: random.Random) -> tuple[list[float], list[list[float]]]:
    """A scene as numbers: its background, and MOST rows of FIELDS. `pixels` are those the processor makes of it."""
    width, height = scene.size
    high, wide = pixels
    blur = max(width / scene.width, width / wide, height / high) * rng.uniform(0.7, 1.7)
    ground = scene.background
    whole = [width / wide, height / high, float(ground.kind), ground.angle, ground.period, ground.noise, blur, 0.0]
    whole += [*ground.first, *ground.second]
    rows = []
    for thing in scene.things:
        edge = thing.edge or thing.rgb
        fill = 9.0 if thing.fill is None else thing.fill
        border = 0.0 if thing.edge is None else 0.12
        texture = float(_INDEX[thing.name] + thing.variant)
        placed = [texture, thing.x, thing.y, thing.size, thing.angle, fill, border]
        rows.append([*placed, *thing.rgb, *edge, 0.0, 0.0, 0.0])
    return whole, rows + [[0.0] * FIELDS] * (MOST - len(rows))


def nearest(whole: Tensor, rows: Tensor, image: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """The NEAR things that a patch may hold, [n, NEAR, FIELDS]: things do not touch, so that no patch holds more."""
    scale = whole[image, :2]
    x, y = (column + 0.5) * PATCH * scale[:, 0], (row + 0.5) * PATCH * scale[:, 1]
    things = rows[image]
    away = ((things[..., 1] - x[:, None]) ** 2 + (things[..., 2] - y[:, None]) ** 2).sqrt() - 1.2 * things[..., 3]
    away = away + (things[..., 3] == 0) * 100.0
    chosen = away.topk(NEAR, 1, largest=False).indices
    return things.gather(1, chosen.unsqueeze(-1).expand(-1, -1, FIELDS))


def draw(atlas: Tensor, scene: Tensor, things: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Patches [n, 3, PATCH * PATCH], from -1 to 1. `scene` [n, 14] and `things` [n, NEAR, FIELDS] as `described`."""
    scene = scene.unsqueeze(-1)
    cell = torch.arange(PATCH * PATCH, device=atlas.device)
    x = ((column * PATCH).unsqueeze(1) + cell % PATCH + 0.5) * scene[:, 0]
    y = ((row * PATCH).unsqueeze(1) + cell // PATCH + 0.5) * scene[:, 1]
    kind, turn, period, blur = scene[:, 2], scene[:, 3], scene[:, 4], scene[:, 6]
    u, v = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    stripe = ((u / period).floor() % 2).float()
    chequer = (((u / period).floor() + (v / period).floor()) % 2).float()
    slope = (u * 0.6 + 0.3).clamp(0, 1)
    mix = torch.where(kind == 1, slope, torch.where(kind == 2, stripe, torch.where(kind == 3, chequer, 0.0)))
    out = [scene[:, 8 + c] + (scene[:, 11 + c] - scene[:, 8 + c]) * mix for c in range(3)]
    flat = atlas.view(-1)
    for k in range(NEAR):
        thing = things[:, k].unsqueeze(-1)
        size = thing[:, 3]
        dx, dy = ((x - thing[:, 1]) / size.clamp_min(0.01), (y - thing[:, 2]) / size.clamp_min(0.01))
        cos, sin = thing[:, 4].cos(), thing[:, 4].sin()
        a = (((dx * cos + dy * sin) / REACH + 1) * (TEXELS / 2) - 0.5).clamp(0, TEXELS - 1.001)
        b = (((dy * cos - dx * sin) / REACH + 1) * (TEXELS / 2) - 0.5).clamp(0, TEXELS - 1.001)
        left, top = a.long(), b.long()
        at = thing[:, 0].long() * (TEXELS * TEXELS) + top * TEXELS + left
        da, db = a - left, b - top
        upper = flat[at] * (1 - da) + flat[at + 1] * da
        lower = flat[at + TEXELS] * (1 - da) + flat[at + TEXELS + 1] * da
        distance = upper * (1 - db) + lower * db
        soft = blur.clamp_min(1e-4) / size.clamp_min(0.01)
        inside = (0.5 - distance / soft).clamp(0, 1)
        hollow = (0.5 - (distance + thing[:, 5]) / soft).clamp(0, 1)
        core = (0.5 - (distance + thing[:, 6]) / soft).clamp(0, 1)
        cover = (inside - hollow) * (size > 0)
        for c in range(3):
            paint = thing[:, 10 + c] + (thing[:, 7 + c] - thing[:, 10 + c]) * core
            out[c] = out[c] + (paint - out[c]) * cover
    pixels = torch.stack(out, 1)
    pixels = pixels + torch.randn_like(pixels) * scene[:, 5].unsqueeze(1)
    return (pixels.clamp(0, 1) * 2 - 1).to(torch.bfloat16 if pixels.is_cuda else torch.float32)
