"""Faults at random, one after the other, during pulls."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from fakes.hub import faults
from fakes.hub.faults import Fault
from support.hub_pulls import MB, WEIGHTS, MakeFiles, Offer, weights

from mlx_serve.store.errors import StoreError
from mlx_serve.store.store import Store


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_the_content_is_right_or_there_is_an_error(
    store: Store, offer: Offer, make_files: MakeFiles, seed: int
) -> None:
    """Faults at random, one after the other: the store never shows a wrong byte, and ends with the model."""
    chance = random.Random(seed)
    files = make_files(9 * MB, seed)
    kinds: list[Callable[[], Fault]] = [
        lambda: faults.truncated(chance.randrange(3 * MB)),
        lambda: faults.reset(chance.randrange(3 * MB)),
        lambda: faults.failing(502, on="content"),
        lambda: faults.wrong_range("bytes 1-2/3"),
        lambda: faults.without_ranges(times=1),
        lambda: faults.html(),
        lambda: faults.failing(403, on="content"),
        lambda: Fault(1, on="content", chunked=True),
    ]
    hub = offer(files, *(chance.choice(kinds)() for _ in range(8)))
    for _ in range(10):
        try:
            store.pull("owner/name")
            break
        except StoreError:
            assert store.models() == []
    assert weights(store) == files[WEIGHTS]
    assert all(file.ok for file in store.verify())
    assert hub.bytes_sent
