"""What models take and may take: every number by hand, and who must go for whom."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from fakes.store import installed

from mlx_serve.daemon.errors import InsufficientMemory
from mlx_serve.daemon.protocol import Loaded
from mlx_serve.daemon.residency.budget import Budget, after_load, before_load
from mlx_serve.daemon.residency.room import Room
from mlx_serve.daemon.residency.slot import Slot
from mlx_serve.daemon.settings.schema import CacheSettings

MB, GB = 1 << 20, 10**9


def loaded(weights: int, per_token: int, context: int = 100_000) -> Loaded:
    return Loaded(
        weight_bytes=weights, kv_bytes_per_token=per_token, context_length=context, vocabulary=1, batchable=True
    )


def test_before_the_load_a_tenth_is_kept_for_caches() -> None:
    """At least 64 MiB, for a process and its buffers are there however small the model is."""
    assert before_load(10 * GB) == 11 * GB
    assert before_load(MB) == 65 * MB


def test_after_the_load_the_caches_are_known() -> None:
    """4096 tokens of them, or the whole context where that is shorter."""
    assert after_load(loaded(GB, 100_000)) == GB + 100_000 * 4096
    assert after_load(loaded(GB, 1_000_000, context=512)) == GB + 1_000_000 * 512
    assert after_load(loaded(GB, 10)) == GB + 64 * MB


def test_a_budget_is_for_all_together() -> None:
    budget = Budget(10 * GB)
    assert budget.fits(4 * GB, 6 * GB)
    assert not budget.fits(4 * GB + 1, 6 * GB)


def test_a_refusal_shows_its_numbers() -> None:
    sentence = Budget(10 * GB).refusal("acme/big", 12 * GB, 0)
    assert "'acme/big' needs about 12.0 GB and 10.0 GB may be used:" in sentence
    assert "models.memory_limit" in sentence
    assert "beside 3.5 GB in use by busy models" in Budget(10 * GB).refusal("acme/big", 12 * GB, 3_500_000_000)


# --- room


class Slots:
    """Slots in a row, the first used longest ago."""

    def __init__(self, limit: int, **maxima: int) -> None:
        self.limit, self.cache = limit, replace(CacheSettings(), **maxima)
        self.slots: list[Slot] = []

    def add(self, kind: str = "llm", reserved: int = 0, **state: Any) -> Slot:
        """`busy`: somebody uses it; `loading`: it is not in yet; `size`: of its files."""
        slot = Slot(installed(f"acme/m{len(self.slots)}", kind=kind, size=state.get("size", 0)), 0)
        slot.reserved, slot.last_used = reserved, float(len(self.slots))
        if not state.get("loading"):
            slot.ready.set_result(None)
        if state.get("busy"):
            slot.leases = 1
        self.slots.append(slot)
        return slot

    def room(self, kind: str = "llm", size: int = 0) -> Room:
        return Room(self.add(kind, size=size, loading=True), self.slots, self.limit, self.cache)


@pytest.fixture(autouse=True)
async def in_a_loop() -> None:
    """Entries hold futures."""
    asyncio.get_running_loop()


async def test_room_is_by_bytes_and_by_kind() -> None:
    models = Slots(1000 * MB, max_llm_models=2)
    models.add(reserved=500 * MB)
    assert models.room(size=400 * MB).fits
    assert not models.room(size=480 * MB).fits
    models.add(reserved=1)
    assert not models.room(size=0).fits
    assert models.room("embedding").fits


async def test_the_one_used_longest_ago_goes() -> None:
    """Not the busy ones, nor those that still load."""
    models = Slots(100 * MB)
    models.add(reserved=50 * MB, busy=True)
    models.add(reserved=1 * MB, loading=True)
    oldest = models.add(reserved=20 * MB)
    models.add(reserved=20 * MB)
    assert models.room(size=20 * MB).victim() is oldest
    oldest.leases = 1
    assert models.room(size=20 * MB).victim() is models.slots[3]


async def test_a_full_kind_makes_room_in_its_kind() -> None:
    """Another kind's older model would not help."""
    models = Slots(10 * GB, max_llm_models=1)
    models.add("embedding", reserved=1)
    own = models.add("llm", reserved=1)
    assert models.room("llm").victim() is own


async def test_all_busy_is_no_victim() -> None:
    models = Slots(100 * MB)
    models.add(reserved=60 * MB, busy=True)
    room = models.room(size=20 * MB)
    assert room.victim() is None
    room.check()  # waiting may help


async def test_what_can_never_fit_is_refused() -> None:
    models = Slots(100 * MB)
    models.add(reserved=60 * MB)
    with pytest.raises(InsufficientMemory, match=r"needs about 0\.5 GB and 0\.1 GB may be used"):
        models.room(size=400 * MB).check()


async def test_models_without_memory_do_not_count() -> None:
    """Those that wait for room themselves hold none."""
    models = Slots(10 * GB, max_llm_models=1)
    models.add(loading=True)
    assert models.room().fits
    assert models.room().used == 0
