"""Tokens cut into blocks, each named by all that comes before it: equal names mean equal beginnings."""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from hashlib import blake2b

BLOCK = 256
ROOT = b""
BYTES = 4  # of a packed token
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

    def __init__(self, tokens: list[int], begin: bytes = b"") -> None:
        """`begin`: the first of these tokens, packed, as far as somebody has them so."""
        self.tokens = tokens
        self.begun = time.time_ns()
        self._begin = begin
        self._names: list[bytes] = []

    def names(self, length: int) -> list[bytes]:
        """Of the whole blocks within the first `length` tokens."""
        wanted = length // BLOCK
        while len(self._names) < wanted:
            start = len(self._names) * BLOCK
            self._names.append(end_name(self.parent(len(self._names)), self.packed(start, start + BLOCK)))
        return self._names[:wanted]

    def packed(self, start: int, stop: int) -> bytes:
        """The tokens from `start` to before `stop`, or as many as there are, packed."""
        if stop * BYTES <= len(self._begin):
            return self._begin[start * BYTES : stop * BYTES]
        return packed(self.tokens[start:stop])

    def common(self, length: int, other: Chain, other_length: int) -> int:
        """How many of the first `length` tokens are the other's first ones."""
        most = min(length, other_length)
        return common_beginning((self.tokens, self.names(most)), (other.tokens, other.names(most)), most)

    def followed_by(self, token: int) -> Chain:
        """The chain of the sequence with one token more."""
        longer = Chain([*self.tokens, token], self._begin)
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
