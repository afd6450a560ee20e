"""Wordings: `(a|b|)` stands for a choice, choices nest, and part of every list is held back."""

from __future__ import annotations

import random
import re
from functools import cache

_MARK = re.compile(r"[()|]")
Node = str | tuple["Sequence", ...]
Sequence = tuple[Node, ...]


def _parse(pattern: str, at: int) -> tuple[tuple[Sequence, ...], int]:
    choices: list[Sequence] = []
    nodes: list[Node] = []
    while True:
        mark = _MARK.search(pattern, at)
        if mark is None:
            nodes.append(pattern[at:])
            return (*choices, tuple(nodes)), len(pattern)
        nodes.append(pattern[at : mark.start()])
        at = mark.end()
        if mark.group() == "(":
            inner, at = _parse(pattern, at)
            nodes.append(inner)
        else:
            choices.append(tuple(nodes))
            nodes = []
            if mark.group() == ")":
                return tuple(choices), at


@cache
def _compiled(pattern: str) -> tuple[Sequence, ...]:
    return _parse(pattern, 0)[0]


def _write(rng: random.Random, choices: tuple[Sequence, ...], out: list[str]) -> None:
    chosen = choices[int(rng.random() * len(choices))] if len(choices) > 1 else choices[0]
    for node in chosen:
        if isinstance(node, str):
            out.append(node)
        else:
            _write(rng, node, out)


def _tidy(text: str) -> str:
    return re.sub(" +", " ", text).strip(" ") if "  " in text else text.strip(" ")


def expand(rng: random.Random, pattern: str) -> str:
    """One text of a pattern, without the doubled spaces that empty choices leave."""
    out: list[str] = []
    _write(rng, _compiled(pattern), out)
    return _tidy("".join(out))


def _all(choices: tuple[Sequence, ...]) -> list[str]:
    texts = []
    for sequence in choices:
        heads = [""]
        for node in sequence:
            tails = [node] if isinstance(node, str) else _all(node)
            heads = [head + tail for head in heads for tail in tails]
        texts += heads
    return texts


def expansions(pattern: str) -> list[str]:
    """Every text of a pattern; for tests."""
    return [_tidy(text) for text in _all(_compiled(pattern))]


_PLAIN = re.compile(r"[^a-z0-9<>]+")


def plain(text: str) -> str:
    """A wording without case and marks, so that two of them can be compared."""
    return f" {_PLAIN.sub(' ', text.lower()).strip()} "


class Phrases:
    """Patterns to train on, and patterns for the evaluation alone: no trained wording contains one of those."""

    def __init__(self, train: list[str], held: list[str]) -> None:
        self.train, self.held = tuple(train), tuple(held)
        # Where the text to work on stands is put together later: only the words count.
        self._kept = tuple({plain(text.removesuffix("<x>")) for pattern in held for text in expansions(pattern)})

    def write(self, rng: random.Random) -> str:
        return expand(rng, self.train[int(rng.random() * len(self.train))])

    def pick(self, rng: random.Random, held: bool) -> str:
        if held:
            return expand(rng, self.held[int(rng.random() * len(self.held))])
        while True:
            text = self.write(rng)
            told = plain(text)
            if not any(kept in told for kept in self._kept):
                return text


class Filled:
    """Phrases with one slot filled for good."""

    def __init__(self, phrases: Phrases, slot: str, text: str) -> None:
        self._phrases, self._slot, self._text = phrases, slot, text

    def pick(self, rng: random.Random, held: bool) -> str:
        return self._phrases.pick(rng, held).replace(self._slot, self._text)
