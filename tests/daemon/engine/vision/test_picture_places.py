"""What stands for pictures where prompts are compared, and where a prompt may be parted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from mlx_serve.daemon.engine.prefix.chain import Chain
from mlx_serve.daemon.engine.vision.picture_places import SURE, PicturePlaces, runs

TOKENS = [7] * 40


def places(*pictures: tuple[str, Sequence[int]], together: bool = False) -> PicturePlaces:
    return PicturePlaces([(key, np.array(where, np.int32)) for key, where in pictures], together=together)


def common(one: list[int], other: list[int]) -> int:
    return Chain(one).common(len(one), Chain(other), len(other))


def test_pictures_are_told_apart_by_what_is_seen_and_where() -> None:
    """From their first token on; what comes before them, and after equal ones, is equal."""
    named = places(("a", range(10, 16))).named(TOKENS)
    assert named == places(("a", range(10, 16))).named(TOKENS)
    assert [place for place, token in enumerate(named) if token < 0] == list(range(10, 16))
    assert len(set(named[10:16])) == 6 and named[16:] == TOKENS[16:]
    assert common(named, places(("b", range(10, 16))).named(TOKENS)) == 10
    assert common(named, places(("a", range(11, 17))).named(TOKENS)) == 10
    assert common(named, places(("a", range(10, 16)), ("a", range(20, 26))).named(TOKENS)) == 20
    assert common(named, TOKENS) == 10
    assert places().named(TOKENS) == TOKENS and not places()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_picture_of_few_tokens_is_as_sure_as_a_large_one(count: int) -> None:
    """What is behind it carries the rest of its digest, and is still told apart by its own tokens."""
    where = range(10, 10 + count)
    one, other = (places((key, where)).named(TOKENS) for key in "ab")
    assert sum(mine != theirs for mine, theirs in zip(one, other, strict=True)) == SURE
    text = [*TOKENS[:12], 8, *TOKENS[13:]]
    assert common(one, places(("a", where)).named(text)) == 12
    assert places(("a", where)).before(10 + SURE - 1) == 10


def test_a_prompt_is_not_parted_before_a_picture_is_known_for_sure() -> None:
    found = places(("a", range(10, 26)))
    assert [found.before(length) for length in (9, 10, 11, 13, 14, 25, 26)] == [9, 10, 10, 10, 14, 25, 26]


def test_a_run_whose_tokens_see_each_other_is_never_parted() -> None:
    """Nor is what is before it, where that is a picture that begins in it."""
    found = places(("a", [*range(10, 16), *range(17, 23)]), ("b", range(23, 30)), together=True)
    wanted = {10: 10, 15: 10, 16: 16, 17: 17, 18: 17, 22: 17, 23: 23, 29: 23, 30: 30, 39: 39}
    assert {length: found.before(length) for length in wanted} == wanted
    assert runs(np.array([3, 4, 6, 9, 10], np.int32)) == [(3, 4), (6, 6), (9, 10)]
