"""Rotary positions of decode steps and prompts are those of MLX, to the bit, in fewer operations."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest

from mlx_serve.daemon.engine.cpu.rotation import Rotation
from mlx_serve.daemon.engine.model.replayed import Replayed

PLAIN = mx.fast.rope
OFFSETS = [0, 7, 300, 4000, 40_000]


def own() -> Rotation:
    return Rotation(lambda *_, **__: pytest.fail("not its own"))


@pytest.mark.parametrize("width", [16, 64, 128])
@pytest.mark.parametrize("kind", ["base", "scaled", "frequencies"])
def test_it_gives_what_mlx_gives(width: int, kind: str) -> None:
    frequencies = mx.random.uniform(1, 1e5, (width // 2,))
    options: dict[str, Any] = {
        "base": {"base": 1e6, "scale": 1.0},
        "scaled": {"base": 1e4, "scale": 0.25},
        "frequencies": {"base": None, "scale": 1.0, "freqs": frequencies},
    }[kind]
    x, offset = mx.random.normal((len(OFFSETS), 4, 1, width)), mx.array(OFFSETS, dtype=mx.int32)
    found, expected = (way(x, width, traditional=False, offset=offset, **options) for way in (own(), PLAIN))
    assert mx.array_equal(found, expected)


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("kind", ["base", "scaled", "frequencies"])
def test_prompts_are_turned_as_mlx_turns_them(offset: int, kind: str) -> None:
    """Of one row or more, whatever way they lie in memory; and what comes next has angles of its own."""
    options: dict[str, Any] = {
        "base": {"base": 1e6, "scale": 1.0},
        "scaled": {"base": 1e4, "scale": 0.25},
        "frequencies": {"base": None, "scale": 1.0, "freqs": mx.random.uniform(1, 1e5, (8,))},
    }[kind]
    rotate = own()
    queries, keys = mx.random.normal((2, 37, 4, 16)).transpose(0, 2, 1, 3), mx.random.normal((2, 1, 37, 16))
    for x, begin in ((queries, offset), (keys, offset), (keys, offset + 1), (keys[:, :, :2], offset + 1)):
        given = options | {"traditional": False, "offset": begin}
        assert mx.array_equal(rotate(x, 16, **given), PLAIN(x, 16, **given))
    again = {"freqs": mx.random.uniform(1, 1e5, (8,)), "base": None, "scale": 1.0, "traditional": False}
    assert mx.array_equal(rotate(keys, 16, offset=offset, **again), PLAIN(keys, 16, offset=offset, **again))


def test_angles_are_those_of_the_positions_at_hand() -> None:
    """Queries and keys of one layer share them; other positions, another base or another width have their own."""
    rotate, made = own(), []
    x, y = mx.random.normal((2, 4, 1, 16)), mx.random.normal((2, 2, 1, 32))
    first, second = mx.array([1, 2]), mx.array([3, 4])
    for array, offset, base in ((x, first, 1e4), (x, first, 1e4), (y, first, 1e4), (y, second, 1e4), (y, second, 1e6)):
        given = {"traditional": False, "base": base, "scale": 1.0, "offset": offset}
        assert mx.array_equal(rotate(array, array.shape[3], **given), PLAIN(array, array.shape[3], **given))
        made.append(rotate._angles)
    assert made[0] is made[1] and len(set(map(id, made))) == 4


def test_it_is_replayed_with_other_positions() -> None:
    rotate = own()

    def turned(x: mx.array, offset: mx.array) -> list[mx.array]:
        return [rotate(one, 16, traditional=False, base=1e4, scale=1.0, offset=offset) for one in (x, 2 * x)]

    function, x = Replayed(turned), mx.random.normal((2, 4, 1, 16))
    for places in ([1, 2], [30, 4], [500, 600]):
        offset = mx.array(places, dtype=mx.int32)
        expected = PLAIN(x, 16, traditional=False, base=1e4, scale=1.0, offset=offset)
        once, twice = function(x, offset)
        assert mx.allclose(once, expected, atol=1e-6) and mx.allclose(twice, 2 * expected, atol=1e-5)


@pytest.mark.parametrize(
    "changed",
    [
        {"traditional": True},
        {"dims": 8},
        {"offset": 3},
        {"offset": mx.array(3)},
        {"x": mx.zeros((2, 4, 5, 16))},
        {"x": mx.zeros((2, 4, 1, 16), dtype=mx.bfloat16)},
        {"x": mx.zeros((2, 1, 16))},
    ],
)
def test_the_rest_is_left_to_mlx(changed: dict[str, Any]) -> None:
    asked: list[dict[str, Any]] = []
    given = {"traditional": False, "base": 1e4, "scale": 1.0, "offset": mx.array([1, 2]), "freqs": None}
    x, dims = changed.pop("x", mx.zeros((2, 4, 1, 16))), changed.pop("dims", 16)
    Rotation(lambda x, dims, **options: asked.append(options) or x)(x, dims, **given | changed)
    assert len(asked) == 1 and asked[0].keys() == given.keys()
