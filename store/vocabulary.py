"""A byte-level BPE vocabulary learned from a short text, in the form of a `tokenizer.json`."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

_WORD = re.compile(r" ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+")


def byte_alphabet() -> list[str]:
    """One printable character for each byte 0-255, as GPT-2's tokenizer maps them."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spare = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]


@dataclass(frozen=True)
class Vocabulary:
    """`tokens[i]` has id i; `specials` follow them, the first `hidden` of those never show up in text."""

    tokens: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    specials: tuple[str, ...]
    hidden: int

    def id_of(self, special: str) -> int:
        return len(self.tokens) + self.specials.index(special)

    def tokenizer_json(self) -> dict[str, Any]:
        """What the `tokenizers` library reads."""
        ids = {token: index for index, token in enumerate(self.tokens)}
        level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {
                    "id": len(self.tokens) + index,
                    "content": special,
                    "single_word": False,
                    "lstrip": False,
                    "rstrip": False,
                    "normalized": False,
                    "special": index < self.hidden,
                }
                for index, special in enumerate(self.specials)
            ],
            "normalizer": None,
            "pre_tokenizer": level,
            "post_processor": None,
            "decoder": level,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": ids,
                "merges": [list(pair) for pair in self.merges],
            },
        }


def learn(text: str, size: int, specials: tuple[str, ...], hidden: int) -> Vocabulary:
    """`size` ids in all: 256 bytes, the most frequent merges of `text`, the special tokens. Raises ValueError."""
    alphabet = byte_alphabet()
    words = Counter(tuple(alphabet[byte] for byte in word.encode()) for word in _WORD.findall(text))
    tokens, merges = list(alphabet), []
    while len(tokens) < size - len(specials):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        if not pairs:
            raise ValueError("the text is too short for a vocabulary of that size")
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        tokens.append(best[0] + best[1])
        words = Counter({_merged(word, best): count for word, count in words.items()})
    return Vocabulary(tuple(tokens), tuple(merges), specials, hidden)


def _merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    out: list[str] = []
    index = 0
    while index < len(word):
        if word[index : index + 2] == pair:
            out.append(pair[0] + pair[1])
            index += 2
        else:
            out.append(word[index])
            index += 1
    return tuple(out)
