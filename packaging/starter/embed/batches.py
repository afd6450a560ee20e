"""Batches of the embedding model: queries, the texts that fit them, and texts that almost do."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ..common.data import beside
from ..common.tokenizer import END_OF_TEXT, dropping
from ..meanings.batch import DROPOUT, DROPPED, LONGEST, Batch, laid_out, sentences
from ..meanings.examples import INSTRUCTION, SAME_MEANING, Example, example, hashed, prompted
from ..meanings.kinds import kinds
from ..meanings.roughness import carried, roughened

OTHERS = 3  # texts beside the right one
_DATA = beside(__file__)
DOMAINS = {name: i for i, name in enumerate((*kinds(), "daily life", "mlx-serve"))}


def query_text(rng: random.Random, found: Example) -> str:
    """Mostly as the prompts say; sometimes without instruction, as people forget it."""
    roll = rng.random()
    if found.same_meaning:
        return found.query if roll < 0.7 else prompted(SAME_MEANING, found.query)
    query = roughened(rng, found.query)
    if roll < 0.7:
        return prompted(INSTRUCTION, query)
    return prompted(rng.choice(_DATA["instructions"]), query) if roll < 0.85 else query


def answered(found: list[Example]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What each query wants, and what the texts have: the right ones first, then the others of each example."""
    texts = [e.fits for e in found] + [text for e in found for text in e.others]
    keys = np.zeros((len(texts), max(len(text.keys) for text in texts)), np.int64)
    for i, text in enumerate(texts):
        keys[i, : len(text.keys)] = [hashed(key) + 1 for key in text.keys]
    return np.array([hashed(e.key) + 1 for e in found]), keys


def batches(tokenizer: Tokenizer, tokens: int, seed: str) -> Iterator[Batch]:
    rng = random.Random(seed)
    rough = dropping(tokenizer, DROPOUT)
    end = tokenizer.token_to_id(END_OF_TEXT)

    def encoded(text: str) -> list[int]:
        ids: list[int] = (rough if rng.random() < DROPPED else tokenizer).encode(text, add_special_tokens=False).ids
        return [*ids, end]

    while True:
        longest, room = sentences(rng), tokens
        found: list[Example] = []
        queries, fits, others = [], [], []
        while True:
            one = example(rng, OTHERS, longest)
            told = [carried(rng, text.text) for text in (one.fits, *one.others)]
            ids = [encoded(text) for text in (query_text(rng, one), *told)]
            if max(map(len, ids)) > LONGEST:
                continue
            room -= sum(map(len, ids))
            if room < 0:
                break
            found.append(one)
            queries.append(ids[0])
            fits.append(ids[1])
            others += ids[2:]
        texts = queries + fits + others
        labels = np.array([DOMAINS[one.domain] for one in found], np.int16)
        wanted, keys = answered(found)
        yield Batch(*laid_out(texts, tokens, end), len(texts), len(found), labels, wanted, keys)
