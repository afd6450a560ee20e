"""What a row takes is known of caches of any class, so that memory is neither overrun nor left unused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import CacheList, ConcatenateKVCache, KVCache, QuantizedKVCache, RotatingKVCache
from support.uncut_models import CONFIGS, uncut

from mlx_serve.daemon.engine.cache.capacity import STEP, RowBytes
from mlx_serve.daemon.engine.cache.row_growth import row_growth
from mlx_serve.daemon.engine.generate.memory.ledger import CacheLedger, Occupancy
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.model.trial import try_out

WIDTH = 32
TEXT = 2 * 2 * WIDTH * 4  # bytes a token of keys and values of two heads


def held(caches: Any) -> int:
    """Bytes of the arrays that are anywhere in them."""
    if isinstance(caches, mx.array):
        return int(caches.nbytes)
    if isinstance(caches, dict):
        return sum(map(held, caches.values()))
    if isinstance(caches, (list, tuple)):
        return sum(map(held, caches))
    return held(vars(caches)) if hasattr(caches, "__dict__") else 0


@pytest.mark.parametrize("name", CONFIGS)
def test_the_ledger_tells_what_a_row_of_unknown_caches_holds(name: str, llama: LanguageModel) -> None:
    """Never less, and not much more, whatever the length: but for the columns that mlx-lm's buffers have over where
    pieces of a prompt are no multiples of their step."""
    network = uncut(name, llama).network
    ledger = CacheLedger(1 << 40, try_out(network, {}, 1 << 20).costs)
    caches, tokens = network.make_cache(), 0
    for piece in (40, 260, 212, 1, 500, 1, 1000, 30):
        tokens += piece
        network(mx.zeros((1, piece), dtype=mx.int32), cache=caches)
        network(mx.zeros((1, 1), dtype=mx.int32), cache=caches)
        mx.eval(arrays(caches))
        tokens += 1
        needed = ledger.needed(Occupancy(prefills=((1, tokens),)))
        assert held(caches) <= ledger.needed(Occupancy(prefills=((1, tokens + STEP),))), tokens
        assert tokens < 512 or needed < 1.6 * held(caches), tokens


def arrays(caches: Any) -> list[mx.array]:
    return [one for cache in caches for one in vars(cache).values() if isinstance(one, mx.array)]


def after(make: Callable[[], list[Any]]) -> Callable[[int], list[Any]]:
    """Caches that were given so many tokens, and one more."""

    def filled(tokens: int) -> list[Any]:
        caches = make()
        for count in (tokens, 1):
            columns = mx.zeros((1, 2, count, WIDTH))
            for cache in caches:
                for one in getattr(cache, "caches", [cache]):
                    one.update_and_fetch(columns, columns)
        return caches

    return filled


@pytest.mark.parametrize(
    ("make", "row"),
    [
        (lambda: [ConcatenateKVCache()], RowBytes(TEXT)),
        (lambda: [KVCache(), KVCache()], RowBytes(2 * TEXT)),
        (lambda: [CacheList(KVCache(), ConcatenateKVCache()), KVCache()], RowBytes(3 * TEXT)),
        (lambda: [QuantizedKVCache(32, 8)], RowBytes(2 * 2 * (WIDTH + 8))),
        (lambda: [RotatingKVCache(1024, 4)], RowBytes(0, ((1024, TEXT),))),
        (lambda: [RotatingKVCache(128, 4)], RowBytes(0, (), 128 * TEXT)),
        (list, RowBytes(0)),
    ],
)
def test_what_grows_is_told_from_what_does_not(make: Callable[[], list[Any]], row: RowBytes) -> None:
    """Whatever arrays are called and wherever they are; nothing is computed."""
    before = mx.get_active_memory()
    assert row_growth(after(make)) == row
    assert mx.get_active_memory() <= before


def test_weights_that_a_cache_refers_to_are_none_of_its_own() -> None:
    """An array that several share counts once."""
    import mlx.nn as nn

    class Cache(ConcatenateKVCache):  # type: ignore[misc]
        def __init__(self, shared: dict[str, mx.array]) -> None:
            super().__init__()
            self.layer = nn.Linear(1000, 1000)
            self.shared = shared
            self.shared["itself"] = mx.zeros((10,))

    shared: dict[str, mx.array] = {}
    assert row_growth(after(lambda: [Cache(shared), Cache(shared)])) == RowBytes(2 * TEXT, (), 40)
