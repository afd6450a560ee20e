"""What MLX is told of the device before it computes."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest

from mlx_serve.daemon.engine import device
from mlx_serve.daemon.engine.shares import Buffers

GIB = 1 << 30


@pytest.mark.parametrize(
    ("backend", "info", "kept"),
    [
        ("cuda", {"total_memory": 24 << 30}, "122"),
        ("cuda", {}, None),
        ("metal", {"max_recommended_working_set_size": 24 << 30}, None),
        ("cpu", {}, None),
    ],
)
def test_on_cuda_mlx_keeps_as_many_graphs_as_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, backend: str, info: dict[str, Any], kept: str | None
) -> None:
    """Its 400 took 2 GB of an H200 that no model counts, more than a card of 24 GB keeps free."""
    environ: dict[str, str] = {}
    monkeypatch.setattr(device, "backend", lambda: backend)
    monkeypatch.setattr(mx, "device_info", lambda: info)
    monkeypatch.setattr("os.environ", environ)
    device.describe(())
    assert environ.get(device.GRAPHS_KEPT) == kept


def test_how_many_a_user_has_named_holds() -> None:
    mine = {device.GRAPHS_KEPT: "1000"}
    device.bound_graphs(8 << 30, mine)
    assert mine == {device.GRAPHS_KEPT: "1000"}


@pytest.mark.parametrize(
    ("backend", "buffers"),
    [("metal", Buffers(16_384, 249_500)), ("cuda", Buffers(16_384, None)), ("cpu", Buffers(1, None))],
)
def test_on_metal_what_is_kept_leaves_half_of_the_buffers_that_a_process_may_have(
    monkeypatch: pytest.MonkeyPatch, backend: str, buffers: Buffers
) -> None:
    monkeypatch.setattr(device, "backend", lambda: backend)
    monkeypatch.setattr(mx, "device_info", lambda: {"resource_limit": 499_000} if backend == "metal" else {})
    assert device.kept_buffers() == buffers


@pytest.mark.parametrize(
    ("backend", "free", "own", "found"),
    [
        ("cuda", 22.0, 0.0, 20.0),  # 24 GiB without its reserve were 22.8: what it was asked for is less
        ("cuda", 9.0, 0.0, 8.4),  # somebody's training has the rest; 0.6 are for graphs
        ("cuda", 1.0, 8.0, 8.4),  # of which it has taken most meanwhile
        ("cuda", 0.2, 0.0, 0.0),
        ("cuda", None, 0.0, 20.0),
        ("metal", 9.0, 0.0, 20.0),
        ("cpu", 9.0, 0.0, 20.0),
    ],
)
def test_on_cuda_a_model_has_what_others_leave(
    monkeypatch: pytest.MonkeyPatch, backend: str, free: float | None, own: float, found: float
) -> None:
    """And not what the GPU has: past that CUDA has no memory, in the middle of a step, which ends the process."""
    info = {"total_memory": 24 << 30} | ({} if free is None else {"free_memory": int(free * GIB)})
    monkeypatch.setattr(device, "backend", lambda: backend)
    monkeypatch.setattr(mx, "device_info", lambda: info)
    monkeypatch.setattr(mx, "get_active_memory", lambda: int(own * GIB) // 2)
    monkeypatch.setattr(mx, "get_cache_memory", lambda: int(own * GIB) // 2)
    assert device.obtainable(20 * GIB) == pytest.approx(found * GIB, abs=2)
