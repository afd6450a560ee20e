"""A vocabulary of all bytes and three special tokens, for grammars without a model; random walks through grammars."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

from mlx_serve.daemon.engine.grammar.validity import limits

END, OPEN, CLOSE = 256, 257, 258
SPECIAL = {"<|end|>": END, "<think>": OPEN, "</think>": CLOSE}


class _Bytes:
    is_tokenizer_wrapper = True
    bos_token_id = None
    eos_token_id = END

    def __init__(self, special: Iterable[str]) -> None:
        texts = [text.encode() for text in special]
        self.tokens = (*(bytes([byte]) for byte in range(256)), *texts)
        self.special_token_ids = tuple(range(256, 256 + len(texts)))

    def __call__(self, text: str) -> list[int]:
        return list(text.encode())


def trie(special: Iterable[str]) -> LLTokenizer:
    """All bytes, and these special tokens from 256 on, the first of which ends an answer."""
    return LLTokenizer(_Bytes(special), eos_token=END)


TRIE = trie(SPECIAL)


def matcher(grammar: str, vocabulary: LLTokenizer = TRIE) -> Any:
    made = LLMatcher(vocabulary, grammar, limits=limits(), log_level=0)
    assert not made.is_error(), made.get_error()
    return made


def takes(made: Any, *parts: str | int) -> bool:
    """Whether a matcher takes all of an answer, given as texts and special tokens, and may end after it."""
    answer = [token for part in parts for token in ([part] if isinstance(part, int) else part.encode())]
    made = made.deep_copy()
    return bool(made.try_consume_tokens(answer) == len(answer) and made.is_accepting())


def matches(grammar: str, *parts: str | int) -> bool:
    return takes(matcher(grammar), *parts)


def walk(made: Any, vocabulary: int, chance: random.Random, most: int) -> list[int] | None:
    """Tokens drawn from what the matcher allows, each as likely, up to its end; None where that is too far."""
    drawn: list[int] = []
    while len(drawn) < most:
        if made.is_stopped():
            return drawn
        words = allocate_token_bitmask(1, vocabulary)
        fill_next_token_bitmask(made, words)
        bits = np.unpackbits(words.view(np.uint8), count=vocabulary, bitorder="little")
        token = int(chance.choice(np.flatnonzero(bits).tolist()))
        assert made.consume_token(token), made.get_error()
        drawn.append(token)
    return None
