"""Keys and values in 8 bits: how far off they are, and what stays as it is."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from support.packed_blocks import back, of_bytes, tensor_of, to_bytes

from mlx_serve.daemon.engine.prefix.disk.eight_bits import GROUP, pack, packed_bytes

HALF = {"float16": 2**-11, "bfloat16": 2**-8, "float32": 2**-22}  # of a value, that its type may be off


def drawn(dtype: str, tokens: int, width: int = 24) -> mx.array:
    """Two heads, whose channels have ranges of their own, far from zero."""
    chance = np.random.default_rng(tokens)
    values = chance.normal(size=(1, 2, tokens, width)) * chance.uniform(0.01, 20, width) + chance.normal(size=width) * 9
    return mx.array(values.astype(np.float32)).astype(getattr(mx, dtype))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("tokens", [1, 5, GROUP, GROUP + 1, 256])
def test_no_value_is_off_by_more_than_half_a_scale(dtype: str, tokens: int) -> None:
    """And by what its own type rounds, for whole groups and for the last one."""
    array = drawn(dtype, tokens)
    group, _ = pack(tensor_of(array), to_bytes(array))
    assert group == GROUP
    exact, found = np.array(array.astype(mx.float32)), np.array(back(array).astype(mx.float32))
    for start in range(0, tokens, GROUP):
        part = exact[:, :, start : start + GROUP]
        scale = (part.max(axis=2, keepdims=True) - part.min(axis=2, keepdims=True)) / 255
        off = np.abs(found[:, :, start : start + GROUP] - part)
        assert (off <= 0.501 * scale + HALF[dtype] * (np.abs(part) + scale)).all()


@pytest.mark.parametrize(("dtype", "share"), [("float16", 0.57), ("bfloat16", 0.57), ("float32", 0.29)])
def test_what_it_takes(dtype: str, share: float) -> None:
    array = drawn(dtype, 256)
    tensor = tensor_of(array)
    _, stored = pack(tensor, to_bytes(array))
    assert len(stored) == packed_bytes(tensor, GROUP) < share * array.nbytes


def test_what_is_the_same_for_all_tokens_stays_exact() -> None:
    """A channel whose values are all one."""
    array = mx.broadcast_to(drawn("bfloat16", 1), (1, 2, 100, 24))
    assert mx.array_equal(back(array), array)


@pytest.mark.parametrize("wrong", [float("inf"), float("-inf"), float("nan")])
def test_what_is_not_finite_is_not_packed(wrong: float) -> None:
    """Nor what is so large that its range is not."""
    array = drawn("float32", 70)
    array[0, 1, 66, 3] = wrong
    assert pack(tensor_of(array), to_bytes(array))[0] == 0
    array[0, 1, 66, 3], array[0, 1, 67, 3] = 3e38, -3e38
    assert pack(tensor_of(array), to_bytes(array))[0] == 0


def test_whole_numbers_are_not_packed() -> None:
    array = mx.arange(48, dtype=mx.uint32).reshape(1, 2, 4, 6)
    assert pack(tensor_of(array), to_bytes(array)) == (0, to_bytes(array))


def test_bfloat16_is_rounded_as_mlx_rounds() -> None:
    """To the nearest, ties to even: what is packed twice is what was packed once, up to a scale's rounding."""
    array = drawn("bfloat16", 64)
    once = back(array)
    stored = pack(tensor_of(array), to_bytes(array))[1]
    values = of_bytes(tensor_of(array.astype(mx.float32)), stored)
    assert mx.array_equal(once, values.astype(mx.bfloat16))
