"""Positions of several axes: where tokens of pictures stand, and that plain RoPE is what is left without pictures."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from mlx_serve.daemon.engine.vision.axes import Ambient, AxesRope, Span, pair_axes, spread_positions


def test_text_counts_up() -> None:
    positions, shift = spread_positions(5, [])
    assert positions.tolist() == [[0, 1, 2, 3, 4]] * 3 and shift == 0


def test_a_picture_takes_as_many_positions_as_its_longer_side() -> None:
    """Two tokens, a picture of 2 by 3, one token, a picture of 1 by 1, one token: the example of the Qwen2-VL paper's
    rule by hand."""
    positions, shift = spread_positions(11, [Span(2, 2, 3), Span(9, 1, 1)])
    assert positions.tolist() == [
        [0, 1, 2, 2, 2, 2, 2, 2, 5, 6, 7],
        [0, 1, 2, 2, 2, 3, 3, 3, 5, 6, 7],
        [0, 1, 2, 3, 4, 2, 3, 4, 5, 6, 7],
    ]
    assert shift == 8 - 11


def test_pairs_of_a_head() -> None:
    """In turns as long as an axis has pairs left, or one axis after the other."""
    assert pair_axes([3, 2, 2], 8, interleaved=True) == [0, 1, 2, 0, 1, 2, 0, 0]
    assert pair_axes([2, 3, 3], 8, interleaved=False) == [0, 0, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("width", [16, 20])
def test_equal_positions_are_plain_rope(width: int) -> None:
    """Text on three axes, text at places, and rows that begin anywhere; values that do not turn stay."""
    plain, ambient = nn.RoPE(16, base=100.0), Ambient()
    rope = AxesRope(plain, pair_axes([3, 3, 2], 8, interleaved=True), ambient)
    x = mx.random.normal((2, 3, 5, width), key=mx.random.key(0))
    wanted = np.array(plain(x, offset=mx.array([4, 9])))
    ambient.positions = mx.array([[4], [9]])
    np.testing.assert_allclose(np.array(rope(x)), wanted, atol=1e-5)
    places = mx.array([[4], [9]]) + mx.arange(5)
    ambient.positions = mx.stack([places] * 3)
    np.testing.assert_allclose(np.array(rope(x, offset=77)), wanted, atol=1e-5)
    ambient.positions = ambient.turned = None
    np.testing.assert_allclose(np.array(rope(x, offset=mx.array([4, 9]))), wanted, atol=1e-5)
