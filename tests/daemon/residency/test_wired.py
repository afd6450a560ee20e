"""What of the models' weights Metal may keep resident: each model's own at most, and all together within a bound."""

from __future__ import annotations

import mlx.core as mx
import pytest
from support.residency_harness import MB, A, B, Build, C, ResidencyHarness

from mlx_serve.daemon.engine import device
from mlx_serve.daemon.residency.budget import wired, wired_bound

LIMIT = 1000 * MB


def harness_of(build: Build, **models: int | None) -> ResidencyHarness:
    harness = build(models={"memory_limit": LIMIT, **models})
    for name in (A, B, C):
        harness.store.add(name, size=200 * MB)
        harness.fleet.outcomes[name] = 200 * MB
    return harness


def told(harness: ResidencyHarness, name: str) -> int:
    """What the model's process may wire, by its newest load."""
    request = harness.fleet.of(name)[-1].request
    assert request is not None
    return request.wired


def test_the_sum_stays_within_the_bound() -> None:
    assert wired(1000, 300, []) == 300
    assert wired(1000, 300, [500]) == 300
    assert wired(1000, 300, [500, 400]) == 100
    assert wired(1000, 300, [500, 600]) == 0
    assert wired(0, 300, []) == 0


def test_without_a_setting_only_a_model_near_the_limit_is_wired() -> None:
    """Three quarters of what models may use; and a setting of more than that does not count beyond it."""
    assert wired_bound(1000, None, 749) == 0
    assert wired_bound(1000, None, 750) == 875
    assert wired_bound(1000, 300, 10) == 300
    assert wired_bound(1000, 5000, 10) == 1000
    assert wired_bound(1000, 0, 900) == 0


async def test_a_model_that_leaves_room_is_not_wired(build: Build) -> None:
    harness = harness_of(build)
    await harness.use_once(A)
    assert told(harness, A) == 0


async def test_models_share_the_bound(build: Build) -> None:
    """The last one gets what is left; what a model had is free again when it has gone."""
    harness = harness_of(build, wired=300 * MB)
    await harness.use_once(A)
    await harness.use_once(B)
    assert (told(harness, A), told(harness, B)) == (200 * MB, 100 * MB)
    await harness.unload(A)
    await harness.use_once(C)
    assert told(harness, C) == 200 * MB


async def test_it_can_be_turned_off(build: Build) -> None:
    harness = harness_of(build, wired=0)
    await harness.use_once(A)
    assert told(harness, A) == 0


async def test_without_a_setting_an_eighth_of_the_limit_is_never_wired(build: Build) -> None:
    """A model that fills the limit is wired in part: less than what Metal recommends stays resident."""
    harness = harness_of(build)
    harness.store.add(A, size=900 * MB)
    harness.fleet.outcomes[A] = 900 * MB
    await harness.use_once(A)
    assert told(harness, A) == LIMIT * 7 // 8


def test_only_metal_wires(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls only: this was not run on Metal. MLX refuses more than Metal recommends; and whatever is there when the
    limit is set becomes resident, so the free buffers go before."""
    calls: list[tuple[str, int]] = []
    monkeypatch.setattr(mx, "set_wired_limit", lambda limit: calls.append(("wire", limit)))
    monkeypatch.setattr(mx, "clear_cache", lambda: calls.append(("clear", 0)))
    monkeypatch.setattr(mx, "device_info", lambda: {"max_recommended_working_set_size": 100})
    for backend, limit in (("cpu", 5), ("cuda", 5), ("metal", 0), ("metal", 7), ("metal", 200)):
        monkeypatch.setattr(device, "backend", lambda backend=backend: backend)
        device.wire(limit)
    assert calls == [("clear", 0), ("wire", 7), ("clear", 0), ("wire", 100)]
