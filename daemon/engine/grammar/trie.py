"""The vocabulary as llguidance knows it: each token's bytes, and which tokens are no text."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from llguidance import LLTokenizer

from ..output.detokenize import Vocabulary, spelled_bytes

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_DECODERS = frozenset({"Sequence", "Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"})
"""The parts of decoders that make SentencePiece's pieces into text."""


LONGEST = 256
"""Characters of a text that a grammar leaves no choice about, of which tokens are made at once."""


class UnknownVocabulary(Exception):
    """Nobody knows which bytes the tokens of this model stand for."""


def trie(vocabulary: Vocabulary, rows: int, ends: Iterable[int]) -> LLTokenizer:
    """For logits of so many `rows`; `ends` are the tokens that end an answer. Takes up to a second for the largest
    vocabularies, and nothing else runs in this process meanwhile. Raises UnknownVocabulary."""
    stops = sorted(token for token in ends if 0 <= token < rows)
    if not stops:
        raise UnknownVocabulary("it has no token that ends an answer")
    tokens = _Tokens(token_bytes(vocabulary, rows), special(vocabulary, rows), stops, vocabulary.backend)
    made = LLTokenizer(tokens, eos_token=stops)
    tokens.greedy = made.greedy_tokenize
    return made


def special(vocabulary: Vocabulary, rows: int) -> list[int]:
    """The tokens that are no text: a grammar names them by their ids."""
    added = vocabulary.tokenizer.added_tokens_decoder
    return sorted(int(token) for token, entry in added.items() if entry.special and int(token) < rows)


def token_bytes(vocabulary: Vocabulary, rows: int) -> list[bytes]:
    """Of every row; nothing where there is no token. Raises UnknownVocabulary."""
    tokens = [b""] * rows
    if vocabulary.pieces is not None:
        for text, token in vocabulary.tokenizer.get_vocab().items():
            if token < rows:
                tokens[token] = spelled_bytes(text)
    else:
        has_bytes = "ByteFallback" in _decoders(vocabulary)
        for text, token in vocabulary.tokenizer.get_vocab().items():
            if token < rows:
                byte = _BYTE.fullmatch(text) if has_bytes else None
                tokens[token] = bytes([int(byte[1], 16)]) if byte else text.replace("\u2581", " ").encode()
    for token, text in vocabulary.added.items():
        if token < rows:
            tokens[token] = text.encode()
    return tokens


def _decoders(vocabulary: Vocabulary) -> set[str]:
    """What makes texts of SentencePiece's pieces here. Raises UnknownVocabulary where it is something else."""
    decoder = getattr(vocabulary.backend, "decoder", None)
    if decoder is None:
        raise UnknownVocabulary("its tokenizer says nothing of the bytes of its tokens")
    parts = [json.loads(decoder.__getstate__())]
    kinds = set()
    while parts:
        part = parts.pop()
        kinds.add(str(part.get("type")))
        parts.extend(part.get("decoders", []))
    if unknown := kinds - _DECODERS:
        raise UnknownVocabulary(f"its tokenizer decodes in a way that is not known ({', '.join(sorted(unknown))})")
    return kinds


class _Tokens:
    """What llguidance asks of a tokenizer: which bytes its tokens are, and how it would write a text that a grammar
    leaves no choice about."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, tokens: list[bytes], special: list[int], ends: list[int], backend: Any) -> None:
        self.tokens = tokens
        self._special = frozenset({*special, *ends})
        self.special_token_ids = sorted(self._special)
        self.eos_token_id = ends[0]
        self._backend = backend
        self.greedy: Callable[[str], list[int]] = lambda text: []

    def __call__(self, text: str) -> list[int]:
        """As the model's own tokenizer does it in the middle of a text, or else the longest tokens that fit: only what
        spells the text exactly is of use. Of a long text only its beginning is: it is asked for again at every token.
        An exception here would end the process."""
        cut = text[:LONGEST]
        ids = self._own(cut)
        if len(cut) < len(text):
            return ids[: len(ids) // 2]  # the last ones may be others with what follows
        return ids

    def _own(self, text: str) -> list[int]:
        with contextlib.suppress(Exception):  # the library raises nothing narrower
            for before in ("", "\n"):
                ids = self._backend.encode(before + text, add_special_tokens=False).ids
                start = len(self._backend.encode(before, add_special_tokens=False).ids) if before else 0
                if self._spells(ids[start:], text):
                    return list(ids[start:])
        return self.greedy(text)

    def _spells(self, ids: list[int], text: str) -> bool:
        plain = self._special.isdisjoint(ids)
        return plain and b"".join(self.tokens[token] for token in ids) == text.encode()
