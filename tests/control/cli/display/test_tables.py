"""Sizes, times, counts and tables as text."""

from __future__ import annotations

import pytest

from mlx_serve.control.cli.display import tables


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
