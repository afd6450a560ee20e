"""Tokens cut into blocks, each named by all that comes before it: equal names mean equal beginnings."""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from hashlib import blake2b

BLOCK = 256
ROOT = b""
_DIGEST = 16


def end_name(parent: bytes, tokens: bytes) -> bytes:
    """Of a block of these packed tokens that follows the block `parent`."""
    return blake2b(parent + tokens, digest_size=_DIGEST).digest()


def packed(tokens: Sequence[int]) -> bytes:
    """Four bytes a token."""
    return array("i", tokens).tobytes()


class Chain:
    """The names of the whole blocks of one sequence, each a hash of the one before it and of its own tokens.

    Tokens may be added to the sequence, never changed: what is named stays named. `begun`: when, in nanoseconds.
    """

    def __init__(self, tokens: list[int]) -> None:
        self.tokens = tokens
        self.begun = time.time_ns()
        self._names: list[bytes] = []

    def names(self, length: int) -> list[bytes]:
        """Of the whole blocks within the first `length` tokens."""
        wanted = length // BLOCK
        while len(self._names) < wanted:
            start = len(self._names) * BLOCK
            content = packed(self.tokens[start : start + BLOCK])
            self._names.append(end_name(self.parent(len(self._names)), content))
        return self._names[:wanted]

    def common(self, length: int, other: Chain, other_length: int) -> int:
        """How many of the first `length` tokens are the other's first ones."""
        most = min(length, other_length)
        return common_beginning((self.tokens, self.names(most)), (other.tokens, other.names(most)), most)

    def followed_by(self, token: int) -> Chain:
        """The chain of the sequence with one token more."""
        longer = Chain([*self.tokens, token])
        longer._names, longer.begun = list(self._names), self.begun
        return longer

    def parent(self, number: int) -> bytes:
        """The name of what block `number` follows; those before it must be named."""
        return self._names[number - 1] if number else ROOT


def common_beginning(
    one: tuple[Sequence[int], Sequence[bytes]], other: tuple[Sequence[int], Sequence[bytes]], most: int
) -> int:
    """How many of the first `most` tokens two texts have in common, each given by its tokens and the names of its whole
    blocks: as a name stands for all before it, the first that differs is found by halving."""
    (tokens, names), (others, other_names) = one, other
    low, high = 0, most // BLOCK
    while low < high:
        middle = (low + high + 1) // 2
        if names[middle - 1] == other_names[middle - 1]:
            low = middle
        else:
            high = middle - 1
    place = low * BLOCK
    while place < most and tokens[place] == others[place]:
        place += 1
    return place
