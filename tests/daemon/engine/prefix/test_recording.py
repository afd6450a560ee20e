"""How much of a prompt shares memory when it is kept while it is read."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import ArraysCache, CacheList, KVCache

from mlx_serve.daemon.engine.prefix.chain import BLOCK, Chain
from mlx_serve.daemon.engine.prefix.prefix_cache import PrefixCache
from mlx_serve.daemon.engine.prefix.recording import MOST_TOGETHER, PART, TOGETHER, Recording, together

TOKENS = 40 * BLOCK
BLOCK_BYTES = 2 * 2 * 2 * BLOCK * 4 * 4  # two layers, keys and values, two heads, four numbers of four bytes


def caches(tokens: int = TOKENS) -> list[Any]:
    found = [KVCache(), CacheList(KVCache(), ArraysCache(1))]
    for cache in (found[0], found[1][0]):
        cache.keys, cache.values = (mx.zeros((1, 2, tokens, 4)) for _ in range(2))
        cache.offset = tokens
    return found


@pytest.mark.parametrize(
    ("blocks", "expected"), [(0, TOGETHER), (PART, TOGETHER), (20 * PART, 20), (10**6, MOST_TOGETHER)]
)
def test_more_blocks_share_memory_where_more_may_be_kept(blocks: int, expected: int) -> None:
    """As many as are a small part of it; of classes that nobody knows as few as ever."""
    assert together(caches(), blocks * BLOCK_BYTES) == expected
    assert together([object()], 1 << 40) == TOGETHER


@pytest.mark.parametrize(("blocks", "runs"), [(300, 5), (20 * PART, 2), (10**5, 1)])
def test_a_prompt_is_kept_in_few_pieces(blocks: int, runs: int) -> None:
    """Forty blocks of two layers, each with keys and values; and all of them are found."""
    kept = PrefixCache(blocks * BLOCK_BYTES, needs_snapshots=False)
    chain = Chain(tuple(range(TOKENS)))
    plain = [caches()[0], caches()[0]]
    copies = Recording(kept, [chain], [TOKENS], 0).take(plain, TOKENS)
    assert len(copies) == runs * 2 * 2
    assert kept.find(chain, TOKENS).length == TOKENS
