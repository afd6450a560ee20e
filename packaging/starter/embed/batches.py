"""Batches of the embedding model: queries, the texts that fit them, and texts that almost do."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ..meanings.examples import INSTRUCTION, SAME_MEANING, Example, example, hashed
from ..meanings.feed import Batch, laid_out, size_of_batch
from ..meanings.kinds import kinds
from ..meanings.roughness import roughened
from ..meanings.vocabulary import END_OF_TEXT, dropping

OTHERS = 3  # texts beside the right one
DROPPED = 0.15  # share of texts in other pieces than usual
INSTRUCTIONS = (
    "Given a question, retrieve passages that answer the question",
    "Retrieve relevant passages for the query",
    "Given a question, find the sentence that holds the answer",
    "Find documents about the query",
)
DOMAINS = {name: i for i, name in enumerate((*kinds(), "daily life", "mlx-serve"))}
_KEYS = 40


def prompted(instruction: str, query: str) -> str:
    """Qwen3-Embedding's form: no space after `Query:`."""
    return f"Instruct: {instruction}\nQuery:{query}"


def query_text(rng: random.Random, found: Example) -> str:
    """Mostly as the prompts say; sometimes without instruction, as people forget it."""
    roll = rng.random()
    if found.same_meaning:
        return found.query if roll < 0.7 else prompted(SAME_MEANING, found.query)
    query = roughened(rng, found.query)
    if roll < 0.7:
        return prompted(INSTRUCTION, query)
    return prompted(rng.choice(INSTRUCTIONS), query) if roll < 0.85 else query


def clashes(found: list[Example]) -> NDArray[np.bool_]:
    """Which texts (the right ones, then the others of each example) answer whose query, beside the own right one."""
    texts = [e.fits for e in found] + [text for e in found for text in e.others]
    keys = np.zeros((len(texts), _KEYS), np.int64)
    for i, text in enumerate(texts):
        numbers = [hashed(key) + 1 for key in text.keys[:_KEYS]]
        keys[i, : len(numbers)] = numbers
    used = max(len(text.keys) for text in texts)
    wanted = np.array([hashed(e.key) + 1 for e in found])
    clash = np.zeros((len(found), len(texts)), bool)
    for column in range(min(used, _KEYS)):
        clash |= wanted[:, None] == keys[None, :, column]
    clash[np.arange(len(found)), np.arange(len(found))] = False
    return clash


def batches(tokenizer: Tokenizer, tokens: int, seed: str) -> Iterator[Batch]:
    rng = random.Random(seed)
    rough = dropping(tokenizer)
    end = tokenizer.token_to_id(END_OF_TEXT)

    def encoded(text: str) -> list[int]:
        ids: list[int] = (rough if rng.random() < DROPPED else tokenizer).encode(text, add_special_tokens=False).ids
        return [*ids, end]

    while True:
        row, sentences = size_of_batch(rng)
        groups = tokens // row // (2 + OTHERS)
        found: list[Example] = []
        queries, fits, others = [], [], []
        while len(found) < groups:
            one = example(rng, OTHERS, sentences)
            ids = [encoded(text) for text in (query_text(rng, one), one.fits.text, *(t.text for t in one.others))]
            if max(map(len, ids)) > row:
                continue
            found.append(one)
            queries.append(ids[0])
            fits.append(ids[1])
            others += ids[2:]
        flat, ends = laid_out(queries + fits + others, row, end)
        labels = np.array([DOMAINS[one.domain] for one in found], np.int16)
        yield Batch(row, groups, flat, ends, labels, clashes(found))


def maker(tokenizer: Tokenizer, tokens: int) -> partial[Iterator[Batch]]:
    return partial(batches, tokenizer, tokens)
