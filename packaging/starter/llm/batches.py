"""Batches: conversations as tokens, packed whole into rows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ..common.tokenizer import END_OF_TEXT, dropping
from ..common.words import learn_pieces
from . import template
from .conversation import conversation, long_conversation
from .sample import Sample

# Some conversations are cut into other tokens, mostly where others write: what a token spells must be known.
ROUGH_SHARE, ROUGH_ALL, DROPOUT = 0.1, 0.3, 0.15
CONTEXT_WEIGHT, CONTEXT_SHARE = (0.3, 0.25)  # what others write is learnt a little: it teaches the words


@dataclass
class Batch:
    """Flat: all rows behind each other. `weights[i]` is what predicting token i counts; `bounds` cut conversations."""

    row: int
    ids: NDArray[np.uint16]
    weights: NDArray[np.float16]
    bounds: NDArray[np.int32]


def encoded(
    tokenizers: tuple[Tokenizer, Tokenizer], sample: Sample, rng: random.Random
) -> tuple[list[int], list[float]]:
    """Tokens and their weights. Prompt and answer are cut apart as generation cuts them."""
    ids: list[int] = []
    weights: list[float] = []
    pieces = template.pieces(sample)
    exact, other = tokenizers
    roughly = rng.random() < ROUGH_SHARE
    encodings = exact.encode_batch_fast([text for text, _ in pieces], add_special_tokens=False)
    if roughly:
        all_of_it = rng.random() < ROUGH_ALL
        encodings = [
            other.encode(text, add_special_tokens=False) if all_of_it or not ours else encoding
            for (text, ours), encoding in zip(pieces, encodings, strict=True)
        ]
    for i, ((text, ours), encoding) in enumerate(zip(pieces, encodings, strict=True)):
        tokens = encoding.ids
        if ours:
            weight = [1.0] * len(tokens)
            # An earlier turn has lost its thinking: its first token must not teach that one may begin without.
            if i + 1 < len(pieces) and not text.startswith("<think>"):
                weight[0] = 0.0
        else:
            share = CONTEXT_SHARE / 4 if sample.tools and not i else CONTEXT_SHARE
            weight = [CONTEXT_WEIGHT if rng.random() < share else 0.0 for _ in tokens]
        ids += tokens
        weights += weight
    return ids, weights


def _packed(
    tokenizers: tuple[Tokenizer, Tokenizer],
    rng: random.Random,
    row: int,
    rows: int,
    waiting: list[tuple[list[int], list[float]]],
) -> Batch:
    """Best fit of those waiting; a conversation never spans two rows."""
    end = tokenizers[0].token_to_id(END_OF_TEXT)
    ids = np.full(row * rows, end, np.uint16)
    weights = np.zeros(row * rows, np.float16)
    bounds = [0]
    for r in range(rows):
        at, stop = r * row, (r + 1) * row
        while at < stop:
            while len(waiting) < 24:
                sample = long_conversation(rng) if row > 1024 and rng.random() < 0.8 else conversation(rng)
                pair = encoded(tokenizers, sample, rng)
                if 1 < len(pair[0]) <= row:
                    waiting.append(pair)
            room = stop - at
            fits = [i for i, pair in enumerate(waiting) if len(pair[0]) <= room]
            if not fits:
                break
            # The oldest goes in a fresh row, so that no long one waits for ever; then whatever fills best.
            chosen = fits[0] if room == row else max(fits, key=lambda i: len(waiting[i][0]) if room < row // 2 else -i)
            tokens, weight = waiting.pop(chosen)
            ids[at : at + len(tokens)] = tokens
            weights[at : at + len(tokens)] = weight
            weights[at] = 0.0
            at += len(tokens)
            bounds.append(at)
        if at < stop:
            bounds.append(stop)
    return Batch(row, ids, weights, np.asarray(bounds, np.int32))


def batches(tokenizer: Tokenizer, seed: str, tokens: int, long_share: float) -> Iterator[Batch]:
    rng = random.Random(seed)
    learn_pieces(sorted(tokenizer.get_vocab()))
    pair = tokenizer, dropping(tokenizer, DROPOUT)
    waiting: dict[int, list[tuple[list[int], list[float]]]] = {1024: [], 8192: []}
    while True:
        row = 8192 if tokens >= 8192 and rng.random() < long_share else 1024
        yield _packed(pair, rng, row, tokens // row, waiting[row])
