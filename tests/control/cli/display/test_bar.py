"""One progress bar: speed, time left, and the width of the terminal."""

from __future__ import annotations

import pytest

from mlx_serve.control.cli.display.bar import Bar


def test_bar_shows_speed_and_time_left() -> None:
    bar = Bar("model.safetensors", 0.0)
    bar.update(0, 4_700_000_000, 0.0)
    bar.update(0, 4_700_000_000, 7.0)
    bar.update(400_000_000, 4_700_000_000, 10.0)
    bar.update(800_000_000, 4_700_000_000, 15.0)
    line = bar.line(120, 15.0)
    assert line.startswith("model.safetensors:  17% ▕██")
    assert line.endswith("▏ 800 MB/4.7 GB    80 MB/s    49s")


def test_bytes_that_were_there_already_are_not_speed() -> None:
    """A resumed pull does not begin at a gigabyte a second, nor does one that begins a file anew run backwards."""
    bar = Bar("x", 0.0)
    bar.update(4_000_000, 5_000_000, 1.0)
    bar.update(4_100_000, 5_000_000, 2.0)
    assert bar.speed(2.0) == 100_000
    bar.update(0, 5_000_000, 3.0)
    bar.update(50_000, 5_000_000, 4.0)
    bar.update(100_000, 5_000_000, 5.0)
    assert bar.speed(5.0) == 50_000


def test_a_stall_shows() -> None:
    bar = Bar("x", 0.0)
    bar.update(1, 10_000_000, 0.0)
    bar.update(4_000_001, 10_000_000, 4.0)
    assert [bar.speed(now) for now in (4.0, 8.0, 40.0)] == [1_000_000, 500_000, 100_000]


def test_what_was_fetched_is_the_speed_of_the_whole() -> None:
    """Files that were here are hashed at a gigabyte a second, which says nothing of the line."""
    bar = Bar("total", 0.0)
    bar.update(0, 10_000_000, 0.0, None)
    bar.update(5_000_000, 10_000_000, 1.0, 100_000)
    bar.update(9_000_000, 10_000_000, 2.0, 200_000)
    assert bar.speed(2.0) == 100_000


def test_speed_is_that_of_the_last_seconds() -> None:
    bar = Bar("x", 0.0)
    for second in range(100):
        bar.update(min(second, 50) * 1000, 100_000, float(second))
    assert bar.speed(99.0) == 0.0


@pytest.mark.parametrize("columns", [10, 40, 80, 200])
@pytest.mark.parametrize("remark", ["", "rate limited, continuing in 12 s"])
def test_bar_fits_the_terminal(columns: int, remark: str) -> None:
    bar = Bar("a-rather-long-name-of-a-file-that-has-many-shards-00001-of-00012.safetensors", 0.0)
    bar.remark = remark
    bar.update(1, 0, 0.0)
    assert len(bar.line(columns, 0.0)) < columns
    bar.update(50, 100, 1.0)
    assert len(bar.line(columns, 1.0)) < columns
