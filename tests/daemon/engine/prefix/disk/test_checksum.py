"""The sum that tells damage: what it must notice, and that it is of the bytes alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from mlx_serve.daemon.engine.prefix.disk.checksum import checksum

PAGE = 4096
Bytes = NDArray[np.uint8]


def drawn(count: int, seed: int = 1) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (1, count), np.uint8)


@pytest.mark.parametrize("count", [0, 1, 8, 4095, 4096, 4097, 3 * PAGE + 20, 16 * PAGE])
def test_every_bit_counts(count: int) -> None:
    """Wherever it is, in the last and shortest row too."""
    data = drawn(count)
    whole = checksum(data)
    for place in {0, 7, 8, 4088, 4095, 4096, count // 2, count - 1} & set(range(count)):
        for bit in (1, 128):
            data[0, place] ^= bit
            assert checksum(data) != whole, (place, bit)
            data[0, place] ^= bit
    assert checksum(data) == whole


@pytest.mark.parametrize("width", [PAGE, 2 * PAGE, 4096 + 8, 100])
def test_rows_that_are_no_neighbours_count_as_if_they_were(width: int) -> None:
    """A block's part of a larger piece of memory has the sum of its bytes."""
    large = drawn(4 * 3 * width).reshape(4, 3 * width)
    part = large[:, width : 2 * width]
    assert checksum(part) == checksum(np.ascontiguousarray(part).reshape(1, -1))


def pages_change_places(data: Bytes) -> None:
    data[0, :PAGE], data[0, PAGE : 2 * PAGE] = data[0, PAGE : 2 * PAGE].copy(), data[0, :PAGE].copy()


def words_change_places(data: Bytes) -> None:
    data[0, 8:16], data[0, 16:24] = data[0, 16:24].copy(), data[0, 8:16].copy()


def words_of_two_pages_change_places(data: Bytes) -> None:
    data[0, 8:16], data[0, PAGE + 8 : PAGE + 16] = data[0, PAGE + 8 : PAGE + 16].copy(), data[0, 8:16].copy()


def a_page_is_zero(data: Bytes) -> None:
    data[0, 2 * PAGE : 3 * PAGE] = 0


def a_page_stands_twice(data: Bytes) -> None:
    data[0, 2 * PAGE : 3 * PAGE] = data[0, :PAGE]


def all_move_by_a_byte(data: Bytes) -> None:
    data[:] = np.roll(data, 1, axis=1)


def all_move_by_a_page(data: Bytes) -> None:
    data[:] = np.roll(data, PAGE, axis=1)


def a_page_is_anothers(data: Bytes) -> None:
    data[0, PAGE : 2 * PAGE] = drawn(PAGE, 2)[0]


@pytest.mark.parametrize(
    "damage",
    [
        pages_change_places,
        words_change_places,
        words_of_two_pages_change_places,
        a_page_is_zero,
        a_page_stands_twice,
        all_move_by_a_byte,
        all_move_by_a_page,
        a_page_is_anothers,
    ],
)
def test_what_disks_do(damage: Callable[[Bytes], None]) -> None:
    data = drawn(5 * PAGE + 100)
    whole = checksum(data)
    damage(data)
    assert checksum(data) != whole
