"""Which tokens of a picture see each other: all of them, or those within a window; text sees what it always sees."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import ArraysCache, KVCache, RotatingKVCache
from numpy.typing import NDArray

from mlx_serve.daemon.engine.vision.whole_pictures import Groups, grouping_caches

GROUPS = [0, 1, 1, 1, 0, 2, 2, 0]


def mask(cache: Any, width: int, before: int, window: int | None = None) -> NDArray[Any]:
    """Of a chunk behind so many tokens."""
    if before:
        cache.update_and_fetch(mx.zeros((1, 1, before, 4)), mx.zeros((1, 1, before, 4)))
    return np.array(cache.make_mask(width, window_size=window, return_array=False))


def wanted(before: int, width: int, columns: int, window: int, *, whole: bool) -> NDArray[Any]:
    """By the rule, column by column; the last column is the last token."""
    groups = [0] * before + GROUPS[:width]
    rows = []
    for query in range(before, before + width):
        row = []
        for key in range(before + width - columns, before + width):
            near = not window or query - key < window
            together = groups[query] > 0 and groups[query] == groups[key]
            row.append((key <= query and near) or (together and (whole or near)))
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("before", [0, 5])
@pytest.mark.parametrize("whole", [True, False])
def test_masks_follow_the_rule(before: int, whole: bool) -> None:
    groups = Groups(whole=whole)
    full, ring = grouping_caches([KVCache(), RotatingKVCache(2)], groups)
    groups.of = mx.array(GROUPS)
    found = mask(full, 8, before)
    if whole:
        assert np.array_equal(found, wanted(before, 8, before + 8, 0, whole=True))
    else:
        assert found.tolist() == "causal"  # full attention is as it always is
    found = mask(ring, 8, before, window=2)
    assert np.array_equal(found, wanted(before, 8, found.shape[1], 2, whole=whole))


def test_text_alone_takes_the_plain_masks() -> None:
    plain, (cache,) = KVCache(), grouping_caches([KVCache()], Groups(whole=True))
    given = {"return_array": False, "window_size": None}
    assert cache.make_mask(8, **given) == plain.make_mask(8, **given) == "causal"


def test_other_caches_are_refused() -> None:
    with pytest.raises(ValueError, match="ArraysCache has no room for whole pictures"):
        grouping_caches([ArraysCache(2)], Groups(whole=True))
