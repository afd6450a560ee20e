"""Units, tables and bars, as values."""

from __future__ import annotations

import io

import pytest

from mlx_serve.control import tables
from mlx_serve.control.progress import Item, Progress


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (522e6, "522 MB"),
        (4.66e9, "4.7 GB"),
        (9.96e9, "10 GB"),
        (13e9, "13 GB"),
    ],
)
def test_sizes_are_decimal_with_two_digits(count: float, text: str) -> None:
    assert tables.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (7200, "2 hours"),
        (86_400 * 15, "2 weeks"),
        (86_400 * 800, "2 years"),
    ],
)
def test_times_come_in_their_largest_unit(seconds: float, text: str) -> None:
    assert tables.ago(1000, 1000 + seconds) == f"{text} ago"
    assert tables.until(1000 + seconds, 1000) == f"{text} from now"


def test_times_at_the_edges() -> None:
    assert tables.ago(1000, 1000) == "just now"
    assert tables.until(None) == "forever"
    assert tables.until(10, 1000) == "now"


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(812e6, "812ms"), (1.2345e9, "1.23s"), (123e9, "2m3s"), (3723e9, "1h2m3s")],
)
def test_durations_read_as_in_ollama(nanoseconds: float, text: str) -> None:
    assert tables.duration(nanoseconds) == text


@pytest.mark.parametrize(("count", "text"), [(596_049_920, "596M"), (7_615_616_512, "7.62B"), (12, "12")])
def test_parameter_counts_are_short(count: int, text: str) -> None:
    assert tables.parameters(count) == text


def test_table_aligns_and_leaves_no_blanks_at_the_end() -> None:
    text = tables.table(("A", "LONG"), [("wide", "x"), ("w", "")])
    assert text == "A       LONG\nwide    x\nw"


def test_bar_shows_speed_and_time_left() -> None:
    item = Item("copying model.safetensors", 0.0)
    item.update(0, 4_700_000_000, 0.0)
    item.update(800_000_000, 4_700_000_000, 10.0)
    line = item.line(120, 10.0)
    assert line.startswith("copying model.safetensors:  17% ▕██")
    assert line.endswith("800 MB/4.7 GB    80 MB/s    49s")


def test_bytes_that_were_there_already_are_not_speed() -> None:
    """A resumed pull does not begin at a gigabyte a second."""
    item = Item("copying x", 0.0)
    item.update(4_000_000, 5_000_000, 1.0)
    item.update(4_100_000, 5_000_000, 2.0)
    assert item.speed() == 100_000


def test_speed_is_that_of_the_last_seconds() -> None:
    item = Item("copying x", 0.0)
    for second in range(100):
        item.update(min(second, 50) * 1000, 100_000, float(second))
    assert item.speed() == 0.0


@pytest.mark.parametrize("columns", [10, 40, 80, 200])
def test_bar_fits_the_terminal(columns: int) -> None:
    item = Item("copying a-rather-long-name.safetensors", 0.0)
    item.update(1, 0, 0.0)
    item.update(50, 100, 1.0)
    assert len(item.line(columns, 1.0)) <= columns


def test_plain_progress_tells_each_step_once() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    for document in (
        {"status": "checking files"},
        {"status": "checking files"},
        {"status": "copying", "path": "a/b.json", "completed": 1, "total": 2},
        {"status": "copying", "path": "a/b.json", "completed": 2, "total": 2},
        {"status": "writing manifest", "completed": 2, "total": 2},
    ):
        progress.show(document)
    progress.close()
    assert stream.getvalue() == "checking files\ncopying b.json 2 B\nwriting manifest\n"
