"""Attention of prompts by one kernel: what it is asked for, and that nothing wrong comes out of it.

The kernel itself is computed here by MLX; that it computes the same was seen on a GPU (docs/performance.md)."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlx_serve.daemon.engine.cuda import causal
from mlx_serve.daemon.engine.cuda.causal import WIDTHS, CausalAttention

plain = mx.fast.scaled_dot_product_attention


class Device:
    """Computes what kernels of so much shared memory are asked for; `factor`: times that, `error`: it fails instead."""

    def __init__(self) -> None:
        self.factor = 1.0
        self.error: Exception | None = None
        self.calls: list[dict[str, Any]] = []

    def __call__(self, shared_memory: int) -> Any:
        def kernel(**asked: Any) -> list[mx.array]:
            if self.error is not None:
                raise self.error
            template = dict(asked["template"])
            q, k, v, factors = asked["inputs"]
            rows, heads, queries, width = q.shape
            threads = 32 * template["WARPS"]
            tile = threads // 2
            assert shared_memory == 2 * (tile + 2 * template["N"]) * (width + template["PAD"])
            assert asked["grid"] == (-(-queries // tile) * threads, heads, rows)
            assert asked["threadgroup"] == (threads, 1, 1)
            assert template["D"] == width and template["BF"] == (q.dtype == mx.bfloat16)
            assert asked["output_shapes"] == [(rows, queries, heads, width)] and asked["output_dtypes"] == [q.dtype]
            self.calls.append(asked)
            scale, ordered = factors.tolist()
            found = plain(q, k, v, scale=scale, mask="causal" if ordered else None) * self.factor
            return [found.astype(q.dtype).transpose(0, 2, 1, 3)]

        return kernel


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    device = Device()
    monkeypatch.setattr(causal, "_kernel", device)
    return device


def arrays(queries: int, keys: int, width: int = 64, dtype: mx.Dtype = mx.bfloat16) -> tuple[mx.array, ...]:
    q = mx.random.normal((2, 4, queries, width), key=mx.random.key(1)).astype(dtype)
    return q, *(mx.random.normal((2, 2, keys, width), key=mx.random.key(seed)).astype(dtype) for seed in (2, 3))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("queries", "keys", "mask"), [(2, 2, "causal"), (70, 130, "causal"), (65, 20, None)])
def test_it_gives_what_mlx_gives(device: Device, width: int, queries: int, keys: int, mask: str | None) -> None:
    """For a beginning that is known and for none, with an order and without, in the shape that networks expect."""
    attention = CausalAttention(plain)
    q, k, v = arrays(queries, keys, width)
    assert attention.fits(q, k, v, mask)
    found = attention(q, k, v, 0.1, causal=mask is not None)
    expected = plain(q, k, v, scale=0.1, mask=mask)
    assert found.shape == q.shape and found.dtype == q.dtype
    np.testing.assert_allclose(*(np.array(one.astype(mx.float32)) for one in (found, expected)), atol=1e-2)


def test_what_it_does_not_know(device: Device) -> None:
    """Masks as arrays, float32, other widths, single queries, and more queries than keys where these have an order."""
    attention = CausalAttention(plain)
    assert attention.fits(*arrays(5, 9), "causal")
    assert not attention.fits(*arrays(5, 9), mx.ones((5, 9), dtype=mx.bool_))
    assert not attention.fits(*arrays(5, 9, dtype=mx.float32), "causal")
    assert not attention.fits(*arrays(5, 9, 72), "causal")
    assert not attention.fits(*arrays(1, 9), "causal")
    assert not attention.fits(*arrays(9, 5), "causal")
    q, k, v = arrays(5, 9)
    assert not attention.fits(q, k, v[..., :32], "causal")


@pytest.mark.parametrize("fault", ["wrong", "fails"])
def test_a_kernel_that_does_not_work_is_not_used(device: Device, fault: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Each width and type is tried once in a process, beside MLX's own; the log says what was wrong."""
    if fault == "wrong":
        device.factor = 1.1
    else:
        device.error = RuntimeError("no kernel\\nimage")
    attention = CausalAttention(plain)
    assert [attention.fits(*arrays(5, 9), "causal") for _ in range(3)] == [False] * 3
    said = capfd.readouterr().err
    assert said.count("use own attention of prompts") == 1
    assert ("it does not give what MLX does" if fault == "wrong" else "RuntimeError: no kernel") in said
    device.factor, device.error = 1.0, None
    assert attention.fits(*arrays(5, 9, 128), "causal"), "another width may work"


def test_a_width_is_tried_once(device: Device) -> None:
    attention = CausalAttention(plain)
    for queries in (5, 6, 7):
        assert attention.fits(*arrays(queries, 9), "causal")
    assert len(device.calls) == 1
