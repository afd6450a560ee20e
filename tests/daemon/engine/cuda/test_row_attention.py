"""Attention of rows of different lengths: what the kernels are asked for gives what MLX's own attention does.

The kernels themselves are computed here by what their interface says, block by block; that they do that was seen on a
GPU (docs/performance.md)."""

from __future__ import annotations

import re
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlx_serve.daemon.engine.cuda import nvrtc
from mlx_serve.daemon.engine.cuda.cubins import Cubins
from mlx_serve.daemon.engine.cuda.nvrtc import CompilerError
from mlx_serve.daemon.engine.cuda.row_attention import (
    FEW_WARPS,
    MOST_BLOCKS,
    WARPS,
    WIDTHS,
    RowAttention,
)
from mlx_serve.daemon.engine.cuda.row_attention_source import rows_source, sum_source


class Device:
    """Computes what `mx.fast.precompiled_cuda_kernel` is asked for; `calls` are the grids, in threads."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, int]] = []

    def __call__(self, **asked: Any) -> list[mx.array]:
        source = asked["compiled_source"].decode()
        self.calls.append(asked["grid"])
        numbers = {name: int(value) for name, value in re.findall(r"#define (\w+) (\d+)$", source, re.MULTILINE)}
        arrays = [np.array(array.astype(mx.float32)) for array in asked["inputs"]]
        compute = self._sum if "int blocks" in source else self._rows
        (shape,), (dtype,) = asked["output_shapes"], asked["output_dtypes"]
        return [mx.array(compute(numbers, arrays, asked).reshape(shape)).astype(dtype)]

    def _rows(self, numbers: dict[str, int], arrays: list[np.ndarray], asked: dict[str, Any]) -> np.ndarray:
        queries, keys, values, counts, *table = arrays
        columns, group, per, bits = asked["scalars"]
        if table:
            pages, page = table[0].astype(int), numbers["PAGE"]
            assert pages.shape == (asked["grid"][2], columns) and page == keys.shape[2] and per % page == 0
            keys, values = (
                buffer[pages].transpose(0, 2, 1, 3, 4).reshape(len(pages), keys.shape[1], columns * page, -1)
                for buffer in (keys, values)
            )
            columns *= page
        assert all(type(one) is int and -(2**31) <= one < 2**31 for one in asked["scalars"]), "MLX takes no other"
        scale = float(np.array(bits, np.int32).view(np.float32))
        width, warps = numbers["D"], numbers["WARPS"]
        threads, teams, rows = asked["grid"]
        assert asked["threadgroup"] == (32 * warps, 1, 1) and threads % (32 * warps) == 0
        blocks, heads = threads // (32 * warps), teams * numbers["Q"]
        queries = queries.reshape(rows, heads, width)
        shared = "#define OUT float" in source_of(asked)
        found = np.zeros((rows, heads, blocks, width + 2), np.float32)
        for row in range(rows):
            for head in range(heads):
                for block in range(blocks):
                    seen = slice(block * per, max(block * per, min(int(counts[row]), (block + 1) * per)))
                    assert seen.stop <= columns == keys.shape[2]
                    k, v = keys[row, head // group, seen], values[row, head // group, seen]
                    scores = k @ queries[row, head] * scale
                    top = scores.max(initial=-1e30)
                    weights = np.exp(scores - top)
                    found[row, head, block] = [*(weights @ v), top / np.log(2), weights.sum()]
        return found if shared else found[:, :, 0, :width] / found[:, :, 0, width + 1 :]

    def _sum(self, numbers: dict[str, int], arrays: list[np.ndarray], asked: dict[str, Any]) -> np.ndarray:
        (parts,), width = arrays, numbers["D"]
        assert asked["grid"] == (width, parts.shape[1], parts.shape[0]) and asked["scalars"] == [parts.shape[2]]
        share = np.exp2(parts[..., width] - parts[..., width].max(-1, keepdims=True))[..., None]
        whole: np.ndarray = (share * parts[..., :width]).sum(2) / (share * parts[..., width + 1 :]).sum(2)
        return whole


def source_of(asked: dict[str, Any]) -> str:
    return str(asked["compiled_source"].decode())


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    device = Device()
    monkeypatch.setattr(mx.fast, "precompiled_cuda_kernel", device)
    monkeypatch.setattr(nvrtc, "compile_source", lambda source, architecture: source.encode())
    monkeypatch.setattr(nvrtc, "version", lambda: "13.0")
    return device


def arrays(rows: int, heads: int, key_heads: int, columns: int, width: int) -> tuple[mx.array, mx.array, mx.array]:
    """Queries, and whole buffers of keys and values with two rows more."""
    q = mx.random.normal((rows, heads, 1, width), key=mx.random.key(1))
    k, v = (mx.random.normal((rows + 2, key_heads, columns, width), key=mx.random.key(seed)) for seed in (2, 3))
    return q, k, v


@pytest.mark.parametrize(
    ("heads", "key_heads", "columns", "lengths", "blocks"),
    [
        (4, 2, 64, (3, 64, 1), 1),
        (3, 1, 600, (513, 2), 2),  # few rows share theirs sooner
        (2, 2, 1536, (1500, 1, 1025, 700), 3),
        (8, 2, 1088, (1030, 5), 3),
        (6, 6, 40000, (33000, 1), MOST_BLOCKS),
    ],
)
def test_rows_see_their_own_columns(
    device: Device, heads: int, key_heads: int, columns: int, lengths: tuple[int, ...], blocks: int
) -> None:
    """Of buffers that are longer and have more rows, by one block a head or by several whose parts are added up; rows
    that end before a block begins have nothing of it."""
    q, k, v = arrays(len(lengths), heads, key_heads, columns, 64)
    attention, counts = RowAttention(Cubins()), mx.array(lengths)
    assert attention.fits(q, k, v)
    found = attention(q, k, v, 0.125, counts, max(lengths))
    mask = (mx.arange(columns)[None] < counts[:, None])[:, None, None]
    cut = slice(len(lengths))
    expected = mx.fast.scaled_dot_product_attention(q, k[cut], v[cut], scale=0.125, mask=mask)
    np.testing.assert_allclose(np.array(found), np.array(expected), atol=1e-5)
    assert len(device.calls) == (1 if blocks == 1 else 2)
    threads = device.calls[0][0]
    assert threads == blocks * 32 * (FEW_WARPS if blocks == 1 else WARPS)


@pytest.mark.parametrize(("lengths", "blocks"), [((3, 64, 1), 1), ((1500, 1, 1025, 700), 3), ((9000, 20), 18)])
def test_rows_see_their_own_pages(device: Device, lengths: tuple[int, ...], blocks: int) -> None:
    """Wherever these are; a block has whole pages, and a table may be wider than its longest row's."""
    page, most = 256, -(-max(lengths) // 256) + 1
    chance = np.random.default_rng(1)
    table = mx.array(chance.permutation(len(lengths) * most).reshape(len(lengths), most).astype(np.int32))
    q = mx.random.normal((len(lengths), 4, 1, 64), key=mx.random.key(1))
    k, v = (mx.random.normal((len(lengths) * most, 2, page, 64), key=mx.random.key(seed)) for seed in (2, 3))
    attention, counts = RowAttention(Cubins()), mx.array(lengths)
    assert attention.fits(q, k, v, paged=True)
    found = attention(q, k, v, 0.125, counts, max(lengths), table)
    whole = [buffer[table].transpose(0, 2, 1, 3, 4).reshape(len(lengths), 2, most * page, 64) for buffer in (k, v)]
    mask = (mx.arange(most * page)[None] < counts[:, None])[:, None, None]
    expected = mx.fast.scaled_dot_product_attention(q, *whole, scale=0.125, mask=mask)
    np.testing.assert_allclose(np.array(found), np.array(expected), atol=1e-5)
    assert device.calls[0][0] == blocks * 32 * (FEW_WARPS if blocks == 1 else WARPS)


def test_many_rows_take_small_blocks_and_share_later(device: Device) -> None:
    """With blocks enough for a GPU, a row of a thousand columns is one block's."""
    q, k, v = arrays(40, 2, 2, 1024, 64)
    found = RowAttention(Cubins())(q, k, v, 0.125, mx.full((40,), 1000), 1000)
    expected = mx.fast.scaled_dot_product_attention(q, k[:40, :, :1000], v[:40, :, :1000], scale=0.125)
    np.testing.assert_allclose(np.array(found), np.array(expected), atol=1e-5)
    assert device.calls == [(32 * WARPS, 2, 40)]


def test_what_no_kernel_knows(device: Device) -> None:
    """Other widths, values of another width than keys, mixed types and several queries a row go another way."""
    attention = RowAttention(Cubins())
    q, k, v = arrays(2, 4, 2, 8, 64)
    assert attention.fits(q.astype(mx.bfloat16), k.astype(mx.bfloat16), v.astype(mx.bfloat16))
    assert not attention.fits(q[..., :40], k[..., :40], v[..., :40])
    assert not attention.fits(q, k, v[..., :32])
    assert not attention.fits(q.astype(mx.float16), k, v)
    assert not attention.fits(mx.repeat(q, 2, axis=2), k, v)


def test_a_compiler_that_fails_is_told_of_once(
    device: Device, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """And what it should have compiled goes another way."""

    def fail(source: str, architecture: str) -> bytes:
        raise CompilerError("no such architecture")

    monkeypatch.setattr(nvrtc, "compile_source", fail)
    attention = RowAttention(Cubins())
    assert [attention.fits(*arrays(2, 4, 2, 8, 64)) for _ in range(2)] == [False, False]
    assert capfd.readouterr().err.count("use own attention of rows: no such architecture") == 1


def test_all_that_a_model_needs_is_compiled_at_once(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that grows long later waits for no compiler."""
    compiled: list[str] = []
    monkeypatch.setattr(nvrtc, "compile_source", lambda source, _: compiled.append(source) or source.encode())
    attention = RowAttention(Cubins())
    attention.fits(*arrays(2, 4, 2, 8, 64))
    assert len(compiled) == 4
    for length in (8, 5000):
        attention(*arrays(1, 4, 2, 5000, 64), 0.125, mx.array([length]), length)
        attention(*arrays(70, 4, 2, 8, 64), 0.125, mx.full((70,), 8), 8)
    assert len(compiled) == 4


@pytest.mark.parametrize("width", WIDTHS)
def test_sources_are_whole(width: int) -> None:
    """Every name that stands for something has been replaced, and every bracket is closed."""
    for kind in ("bf16", "f16", "f32"):
        for code in (rows_source(kind, width, 1, 0, 4, shared=True), rows_source(kind, width, 2, 256, 8, shared=False)):
            assert code.count("{") == code.count("}") and not re.search(r"\b(WIDEN|NARROW|FINISH)\b", code)
        code = sum_source(kind, width)
        assert code.count("{") == code.count("}") and not re.search(r"\b(WIDEN|NARROW)\b", code)
