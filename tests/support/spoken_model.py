"""A tiny checkpoint that says given texts: real weights, a real tokenizer, and a table in place of what models learn.

A text is cut into pieces of a few bytes, each a token that stands in no other place, so that the next token follows
from the last one: the embedding of a token is a random vector of plus and minus one, and the head's row of a token is
the embedding of the one before it. Which text comes is said by the last token of the prompt, `<|say N|>`, which a chat
template writes. Known at any temperature up to 1.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from reference.tokenizer_files import alphabet, bpe

from .table_model import table_config, write_table

WIDTH = 256
CONTEXT = 1 << 16
CERTAINTY = 0.2  # times WIDTH: the logit of the next token; those of all others stay below a third of it
LONGEST_PIECE = 6


def say(number: int) -> str:
    """The control token after which text number `number` comes."""
    return f"<|say {number}|>"


def write_spoken(
    folder: Path, texts: Sequence[str], template: str, special: Sequence[str] = (), words: Sequence[str] = ()
) -> Path:
    """A model that says these texts, in Hugging Face's layout. `special`: further special tokens of its vocabulary;
    `words` (ASCII) are read as one token each behind a blank, so that long prompts have fewer."""
    folder.mkdir(parents=True)
    ids = {letter: index for index, letter in enumerate(alphabet())}
    merges = _merges(words, ids)
    spoken = [_pieces(text.encode(), ids, random.Random(number)) for number, text in enumerate(texts)]
    control = [*(say(number) for number in range(len(texts))), *(f"<|end {n}|>" for n in range(len(texts))), *special]
    vocabulary = ids | {word: len(ids) + place for place, word in enumerate(control)}
    before: dict[int, int] = {}
    for number, pieces in enumerate(spoken):
        line = [vocabulary[say(number)], *pieces, vocabulary[f"<|end {number}|>"]]
        before |= dict(zip(line[1:], line, strict=False))
    _write_weights(folder, len(vocabulary), before)
    ends = [vocabulary[f"<|end {number}|>"] for number in range(len(texts))]
    files = {
        "config.json": table_config(len(vocabulary), WIDTH, CONTEXT, ends),
        "generation_config.json": {"eos_token_id": ends},
        "tokenizer.json": _tokenizer(ids, merges, control, vocabulary),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|end 0|>",
            "model_max_length": CONTEXT,
            "clean_up_tokenization_spaces": False,
            "chat_template": template,
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
    return folder


def _pieces(text: bytes, ids: dict[str, int], chance: random.Random) -> list[int]:
    """The text as tokens of its own, which are added to `ids`; a piece that would be another's gets longer."""
    letters = alphabet()
    found: list[str] = []
    at = 0
    while at < len(text):
        end = min(len(text), at + chance.randint(2, LONGEST_PIECE))
        while (piece := "".join(letters[byte] for byte in text[at:end])) in ids or piece in found:
            if end < len(text):
                end += 1
            else:
                at -= len(found.pop())
        found.append(piece)
        at = end
    for piece in found:
        ids[piece] = len(ids)
    return [ids[piece] for piece in found]


def _merges(words: Sequence[str], ids: dict[str, int]) -> list[list[str]]:
    """Each word letter by letter, whose beginnings are tokens too; they are added to `ids`."""
    merges = []
    for word in words:
        left = "Ġ"
        for right in word:
            if left + right not in ids:
                merges.append([left, right])
                ids[left + right] = len(ids)
            left += right
    return merges


def _tokenizer(
    ids: dict[str, int], merges: list[list[str]], control: Sequence[str], vocabulary: dict[str, int]
) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": vocabulary[word], "content": word, **flags} for word in control],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": bpe(ids, merges),
    }


def _write_weights(folder: Path, size: int, before: dict[int, int]) -> None:
    chance = np.random.default_rng(7)
    embedding = chance.choice(np.array([-1, 1], np.float32), (size, WIDTH))
    head = np.zeros((size, WIDTH), np.float32)
    for token, last in before.items():
        head[token] = CERTAINTY * embedding[last]
    write_table(folder, embedding, head)
