"""What follows one block, by its tokens: the same as looking at each, in any order of coming and going."""

from __future__ import annotations

import random

from mlx_serve.daemon.engine.prefix.block import Block
from mlx_serve.daemon.engine.prefix.chain import packed
from mlx_serve.daemon.engine.prefix.siblings import Siblings


def block(tokens: list[int]) -> Block:
    return Block(packed(tokens), b"", packed(tokens), (), None)


def common(one: list[int], other: list[int]) -> int:
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(map(len, (one, other)))
    )


def test_all_looks_are_as_if_each_was_compared() -> None:
    """Tokens whose bytes sort otherwise than their numbers, texts that are beginnings of others, removals between."""
    source = random.Random(5)
    alphabet = [0, 1, 255, 256, 257, 65536, 151935]
    texts: dict[bytes, list[int]] = {}
    siblings = Siblings()
    for _ in range(1500):
        tokens = source.choices(alphabet, k=source.randint(1, 6))
        if packed(tokens) not in texts and source.random() < 0.7:
            siblings.add(block(tokens))
            texts[packed(tokens)] = tokens
        elif texts and source.random() < 0.5:
            gone = source.choice(list(texts))
            siblings.remove(block(texts.pop(gone)))
        asked = source.choices(alphabet, k=source.randint(0, 7))
        most = max((common(asked, one) for one in texts.values()), default=0)
        nearest, found = siblings.nearest(packed(asked))
        assert found == most and (nearest is None) == (most == 0)
        assert nearest is None or common(asked, texts[nearest.tokens]) == most
        begins = sorted((one for one in texts.values() if asked[: len(one)] == one), key=len, reverse=True)
        assert [one.tokens for one in siblings.beginnings(packed(asked))] == [packed(one) for one in begins]
    assert len(siblings) == len(texts) > 50
