"""Batches: conversations as tokens, their pictures as numbers to draw."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ..common.tokenizer import END_OF_TEXT
from . import template
from .picture.atlas import FIELDS, described
from .picture.patches import MERGE, PATCH, resized
from .picture.scene import MOST
from .talk import Sample, conversation
from .tokenizer import IMAGE


@dataclass
class Batch:
    """Flat and of fixed sizes. `picture[i]` is whose patch i is; bounds cut pictures and conversations."""

    ids: NDArray[np.int32]
    weights: NDArray[np.float16]
    position: NDArray[np.int32]  # [3, tokens]
    slots: NDArray[np.int64]
    bounds: NDArray[np.int32]
    whole: NDArray[np.float32]
    rows: NDArray[np.float32]
    grids: NDArray[np.int32]  # high and wide of each picture, in patches
    pictures: int


@dataclass
class Encoded:
    ids: list[int]
    weights: list[float]
    position: NDArray[np.int32]
    slots: list[int]
    pictures: list[tuple[list[float], list[list[float]], tuple[int, int]]]
    patches: int


def encoded(tokenizer: Tokenizer, sample: Sample, rng: random.Random, image: int) -> Encoded:
    """Tokens, weights and positions, with as many image tokens as the processor writes."""
    pictures = []
    for scene in sample.scenes:
        pixels = resized(scene.height, scene.width)
        pictures.append((*described(scene, pixels, rng), (pixels[0] // PATCH, pixels[1] // PATCH)))
    ids: list[int] = []
    weights: list[float] = []
    slots: list[int] = []
    positions: list[NDArray[np.int32]] = []
    at = drawn = 0
    pieces = template.pieces(sample.messages)
    texts = tokenizer.encode_batch_fast([text for text, _ in pieces], add_special_tokens=False)
    for (_, ours), text in zip(pieces, texts, strict=True):
        plain = 0
        for token in text.ids:
            if token != image:
                plain += 1
                ids.append(token)
                weights.append(1.0 if ours else 0.0)
                continue
            positions.append(np.tile(np.arange(at, at + plain, dtype=np.int32), (3, 1)))
            at, plain = at + plain, 0
            high, wide = (size // MERGE for size in pictures[drawn][2])
            drawn += 1
            slots += range(len(ids), len(ids) + high * wide)
            ids += [image] * (high * wide)
            weights += [0.0] * (high * wide)
            down, across = np.divmod(np.arange(high * wide, dtype=np.int32), wide)
            positions.append(np.stack((np.full(high * wide, at, np.int32), at + down, at + across)))
            at += max(high, wide)
        positions.append(np.tile(np.arange(at, at + plain, dtype=np.int32), (3, 1)))
        at += plain
    patches = sum(high * wide for _, _, (high, wide) in pictures)
    return Encoded(ids, weights, np.concatenate(positions, 1), slots, pictures, patches)


def packed(samples: list[Encoded], tokens: int, patches: int, pictures: int, end: int) -> Batch:
    ids = np.full(tokens, end, np.int32)
    weights = np.zeros(tokens, np.float16)
    position = np.zeros((3, tokens), np.int32)
    slots = np.full(patches // MERGE**2, tokens, np.int64)
    whole = np.zeros((pictures + 1, 14), np.float32)
    rows = np.zeros((pictures + 1, MOST, FIELDS), np.float32)
    grids = np.zeros((pictures, 2), np.int32)
    bounds = [0]
    at = seen = shown = 0
    for sample in samples:
        stop = at + len(sample.ids)
        ids[at:stop] = sample.ids
        weights[at:stop] = sample.weights
        position[:, at:stop] = sample.position
        slots[seen : seen + len(sample.slots)] = np.asarray(sample.slots, np.int64) + at
        seen += len(sample.slots)
        for picture in sample.pictures:
            whole[shown], rows[shown], grids[shown] = picture
            shown += 1
        at = stop
        bounds.append(at)
    while at < tokens:  # what is left over is cut, so that no attention runs far
        at = min(tokens, at + 256)
        bounds.append(at)
    return Batch(ids, weights, position, slots, np.asarray(bounds, np.int32), whole, rows, grids, shown)


def batches(tokenizer: Tokenizer, seed: str, tokens: int, patches: int, easy: float) -> Iterator[Batch]:
    rng = random.Random(seed)
    image, end = tokenizer.token_to_id(IMAGE), tokenizer.token_to_id(END_OF_TEXT)
    most = patches // 16  # pictures; none is smaller
    held: list[Encoded] = []
    while True:
        room_tokens, room_patches, taken = tokens, patches, held
        held = []
        for sample in taken:
            room_tokens, room_patches = room_tokens - len(sample.ids), room_patches - sample.patches
        while not held:
            sample = encoded(tokenizer, conversation(rng, easy), rng, image)
            if len(sample.ids) > room_tokens or sample.patches > room_patches:
                held.append(sample)
            else:
                taken.append(sample)
                room_tokens, room_patches = room_tokens - len(sample.ids), room_patches - sample.patches
        yield packed(taken, tokens, patches, most, end)
