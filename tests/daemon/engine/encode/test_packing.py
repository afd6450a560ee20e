"""Batches are made of rows of like length, within the budget, without a device."""

from __future__ import annotations

import pytest

from mlx_serve.daemon.engine.encode.packing import NEAR, SHARE, Budget, pack
from mlx_serve.daemon.engine.encode.row_job import RowJob
from mlx_serve.daemon.engine.texts.row import Row

PLENTY = Budget(1 << 20)


def job(number: int, *lengths: int) -> RowJob:
    made = RowJob(number, None, len(lengths))
    made.add(Row([0] * length, place) for place, length in enumerate(lengths))
    return made


def lengths(rows: list[Row]) -> list[int]:
    return [row.length for row in rows]


def test_the_longest_rows_go_first_and_short_ones_wait_for_their_like() -> None:
    one = job(1, 5, 400, 390, 12)
    assert lengths(pack(one, [one], PLENTY)) == [400, 390]
    one.take(one.waiting[-2:])
    assert lengths(pack(one, [one], PLENTY)) == [12, 5]
    assert one.remaining == 17


def test_rows_of_other_requests_fill_the_batch_where_they_are_of_like_length() -> None:
    mine, others = job(1, 100), [job(2, 95, 300, 20), job(3, 110)]
    assert lengths(pack(mine, [mine, *others], PLENTY)) == [100, 95, 110]


def test_little_is_padding() -> None:
    """However the lengths are mixed."""
    jobs = [job(number, *range(number, 600, 7)) for number in range(1, 6)]
    for first in jobs:
        rows = pack(first, jobs, PLENTY)
        widest = max(lengths(rows))
        least = min(lengths(rows))
        assert least >= min(widest - 2 * NEAR, int(widest * (1 - SHARE) / (1 + SHARE)) - 1)


@pytest.mark.parametrize("tokens", [1, 16, 64, 1000])
def test_a_batch_with_its_padding_keeps_within_the_tokens(tokens: int) -> None:
    """Except for one row, which must go at some time."""
    jobs = [job(1, *range(10, 60)), job(2, *range(20, 70))]
    rows = pack(jobs[0], jobs, Budget(tokens))
    assert len(rows) == 1 or len(rows) * max(lengths(rows)) <= tokens


def test_memory_bounds_rows_by_the_square_of_their_length() -> None:
    one = job(1, *[100] * 50)
    budget = Budget(1 << 20, memory=10 * 100 * (4 + 100 * 8), token_bytes=4, pair_bytes=8)
    assert len(pack(one, [one], budget)) == 10
