"""Batches of the reranker: prompts in groups of one query, the text that answers first."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
from tokenizers import Tokenizer

from ..common.data import beside
from ..common.tokenizer import END_OF_TEXT, dropping
from ..meanings.batch import DROPOUT, DROPPED, LONGEST, Batch, laid_out, sentences
from ..meanings.examples import INSTRUCTION, SAME_MEANING, Example, example
from ..meanings.roughness import carried, roughened
from .prompt import Prompts

OTHERS = 5  # texts beside the right one
SPOTS = 16384  # tokens of a batch whose next one is next_token_loss
_DATA = beside(__file__)


def instruction(rng: random.Random, found: Example) -> str:
    if found.same_meaning and rng.random() < 0.7:
        return SAME_MEANING
    return INSTRUCTION if rng.random() < 0.8 else rng.choice(_DATA["instructions"])


def _documents(rng: random.Random, one: Example, last: Example | None) -> list[str]:
    """The right one, near ones; now and then the question itself, which is no answer, or a text from elsewhere."""
    documents = [carried(rng, text.text) for text in (one.fits, *one.others)]
    if not one.same_meaning and rng.random() < 0.35:
        documents[-1] = rng.choice(_DATA["echoes"]).format(one.query)
    if last is not None and last.domain != one.domain and one.key not in last.fits.keys:
        documents[-2] = last.fits.text
    return documents


def batches(tokenizer: Tokenizer, tokens: int, seed: str) -> Iterator[Batch]:
    rng = random.Random(seed)
    rough = dropping(tokenizer, DROPOUT)
    prompts = Prompts(tokenizer)
    end = tokenizer.token_to_id(END_OF_TEXT)
    last: Example | None = None
    while True:
        longest, room = sentences(rng), tokens
        texts: list[list[int]] = []
        while True:
            one = example(rng, OTHERS, longest)
            task, query = instruction(rng, one), one.query if one.same_meaning else roughened(rng, one.query)
            group = [
                prompts.ids(task, query, document, rough if rng.random() < DROPPED else None)
                for document in _documents(rng, one, last)
            ]
            last = one
            if max(map(len, group)) > LONGEST:
                continue
            room -= sum(map(len, group))
            if room < 0:
                break
            texts += group
        ids, bounds = laid_out(texts, tokens, end)
        # Only what stands in the middle of a prompt: the rest is always the same.
        first, last_but = len(prompts.prefix), len(prompts.suffix) + 1
        places = np.concatenate(
            [np.arange(at + first, at + len(text) - last_but) for at, text in zip(bounds, texts, strict=False)]
        )
        spots = np.random.default_rng(rng.getrandbits(32)).choice(places, min(SPOTS, len(places)), replace=False)
        yield Batch(ids, bounds, len(texts), len(texts) // (1 + OTHERS), spots=spots.astype(np.int32))
