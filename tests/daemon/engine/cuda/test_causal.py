"""Attention of prompts by one kernel: what it is asked for, and that nothing wrong comes out of it.

The kernel itself is computed here by MLX; that it computes the same was seen on a GPU (docs/performance.md)."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlx_serve.daemon.engine.cache.common_beginning import joined
from mlx_serve.daemon.engine.cuda import causal
from mlx_serve.daemon.engine.cuda.causal import TILE, WIDTHS, CausalAttention
from mlx_serve.daemon.engine.cuda.cubins import Cubins

plain = mx.fast.scaled_dot_product_attention


class Device:
    """Computes what kernels are asked for; `factor`: times that, `error`: it fails instead. `made` in which way, and
    `kept`: whether one can be on disk."""

    def __init__(self) -> None:
        self.factor = {"disk": 1.0, "mlx": 1.0}
        self.error: dict[str, Exception] = {}
        self.kept = True
        self.made: list[str] = []
        self.calls: list[dict[str, Any]] = []

    def on_disk(self, cubins: Cubins, width: int, dtype: mx.Dtype) -> Any:
        return self._kernel("disk", width, dtype) if self.kept else None

    def compiled(self, cubins: Cubins, width: int, dtype: mx.Dtype) -> Any:
        return self._kernel("mlx", width, dtype)

    def _kernel(self, way: str, width: int, dtype: mx.Dtype) -> Any:
        self.made.append(way)

        def kernel(**asked: Any) -> list[mx.array]:
            if way in self.error:
                raise self.error[way]
            q, k, v, *first, factors = asked["inputs"]
            rows, heads, queries, _ = q.shape
            assert q.shape[-1] == width and q.dtype == dtype
            assert asked["grid"] == (-(-queries // 64) * 128, heads, rows) and asked["threadgroup"] == (128, 1, 1)
            assert asked["output_shapes"] == [(rows, queries, heads, width)] and asked["output_dtypes"] == [q.dtype]
            self.calls.append(asked)
            scale, ordered, begun = factors.tolist()
            if begun:
                assert begun % TILE == 0 and [one.shape for one in first] == [(1, k.shape[1], begun, width)] * 2
                k, v = joined(first[0], k), joined(first[1], v)
            found = plain(q, k, v, scale=scale, mask="causal" if ordered else None) * self.factor[way]
            return [found.astype(q.dtype).transpose(0, 2, 1, 3)]

        return kernel


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    device = Device()
    monkeypatch.setattr(causal, "_on_disk", device.on_disk)
    monkeypatch.setattr(causal, "_compiled_by_mlx", device.compiled)
    return device


def arrays(queries: int, keys: int, width: int = 64, dtype: mx.Dtype = mx.bfloat16) -> tuple[mx.array, ...]:
    q = mx.random.normal((2, 4, queries, width), key=mx.random.key(1)).astype(dtype)
    return q, *(mx.random.normal((2, 2, keys, width), key=mx.random.key(seed)).astype(dtype) for seed in (2, 3))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("queries", "keys", "mask"), [(2, 2, "causal"), (70, 130, "causal"), (65, 20, None)])
def test_it_gives_what_mlx_gives(device: Device, width: int, queries: int, keys: int, mask: str | None) -> None:
    """For a beginning that is known and for none, with an order and without, in the shape that networks expect."""
    attention = CausalAttention(plain, Cubins())
    q, k, v = arrays(queries, keys, width)
    assert attention.fits(q, k, v, mask)
    found = attention(q, k, v, 0.1, causal=mask is not None)
    expected = plain(q, k, v, scale=0.1, mask=mask)
    assert found.shape == q.shape and found.dtype == q.dtype
    np.testing.assert_allclose(*(np.array(one.astype(mx.float32)) for one in (found, expected)), atol=1e-2)


@pytest.mark.parametrize(("queries", "keys"), [(2, 2), (70, 130)])
def test_what_rows_have_in_common_is_given_once(device: Device, queries: int, keys: int) -> None:
    """As if it stood before the keys of each row."""
    attention = CausalAttention(plain, Cubins())
    q, k, v = arrays(queries, keys)
    first = tuple(one[:1, :, :TILE] for one in arrays(5, 2 * TILE)[1:])
    assert attention.fits(q, k, v, "causal")
    found = attention(q, k, v, 0.1, causal=True, first=(first[0], first[1]))
    expected = plain(q, joined(first[0], k), joined(first[1], v), scale=0.1, mask="causal")
    np.testing.assert_allclose(*(np.array(one.astype(mx.float32)) for one in (found, expected)), atol=1e-2)


def test_what_it_does_not_know(device: Device) -> None:
    """Masks as arrays, float32, other widths, single queries, and more queries than keys where these have an order."""
    attention = CausalAttention(plain, Cubins())
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
        device.factor = {"disk": 1.1, "mlx": 1.1}
    else:
        device.error = dict.fromkeys(("disk", "mlx"), RuntimeError("no kernel\nimage"))
    attention = CausalAttention(plain, Cubins())
    assert [attention.fits(*arrays(5, 9), "causal") for _ in range(3)] == [False] * 3
    said = capfd.readouterr().err
    assert said.count("use own attention of prompts") == 1
    assert ("it does not give what MLX does" if fault == "wrong" else "RuntimeError: no kernel image") in said
    device.factor, device.error = {"disk": 1.0, "mlx": 1.0}, {}
    assert attention.fits(*arrays(5, 9, 128), "causal"), "another width may work"


@pytest.mark.parametrize("fault", ["wrong", "fails", "not kept"])
def test_where_the_kernel_on_disk_does_not_work_mlx_compiles_it(
    device: Device, fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A version of MLX that asks for it otherwise, a folder that cannot be written to."""
    match fault:
        case "wrong":
            device.factor["disk"] = 1.1
        case "fails":
            device.error["disk"] = RuntimeError("Failed to compile kernel")
        case _:
            device.kept = False
    attention = CausalAttention(plain, Cubins())
    assert attention.fits(*arrays(5, 9), "causal") and device.made[-1] == "mlx"
    q, k, v = arrays(5, 9)
    found, expected = attention(q, k, v, 0.1, causal=True), plain(q, k, v, scale=0.1, mask="causal")
    np.testing.assert_allclose(*(np.array(one.astype(mx.float32)) for one in (found, expected)), atol=1e-2)
    assert not capfd.readouterr().err


def test_a_width_is_tried_once(device: Device) -> None:
    attention = CausalAttention(plain, Cubins())
    for queries in (5, 6, 7):
        assert attention.fits(*arrays(queries, 9), "causal")
    assert len(device.calls) == 2, "without a beginning and with one"
    assert device.made == ["disk"]


def test_tiles_fit_into_shared_memory() -> None:
    """A block of an A100 has 163 KB, and one of an RTX 40 99 KB."""
    assert all(causal._shared_memory(width) <= 99 << 10 for width in WIDTHS)
