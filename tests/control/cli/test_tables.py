"""Units, tables and bars, as values."""

from __future__ import annotations

import io
import itertools
import re
import time
from typing import Any

import pytest

from mlx_serve.control.cli import quantization as precision
from mlx_serve.control.cli.display import tables
from mlx_serve.control.cli.display.bar import Bar
from mlx_serve.control.cli.display.progress_bars import ProgressBars
from mlx_serve.daemon.errors import RequestRejected
from mlx_serve.daemon.tasks import quantizing


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


def test_command_and_daemon_know_the_same_precisions() -> None:
    """The command cannot import the daemon's table, for it starts with the standard library alone."""
    for mode, (every_bits, every_size) in precision.MODES.items():
        for bits, group_size in itertools.product(range(1, 17), (8, 16, 32, 64, 128, 256)):
            try:
                quantizing.check(bits, group_size, mode)
            except RequestRejected:
                known = False
            else:
                known = True
            assert known == (bits in every_bits and group_size in every_size)


def test_table_aligns_and_leaves_no_blanks_at_the_end() -> None:
    text = tables.table(("A", "LONG"), [("wide", "x"), ("w", "")])
    assert text == "A       LONG\nwide    x\nw"


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


def test_plain_progress_tells_each_step_and_each_trouble_once() -> None:
    stream = io.StringIO()
    progress = ProgressBars(stream)
    for document in (
        {"status": "checking files"},
        {"status": "checking files"},
        {"status": "copying", "path": "a/b.json", "completed": 1, "total": 2},
        {"status": "rate limited, continuing in 12 s", "path": "a/b.json", "completed": 1, "total": 2},
        {"status": "rate limited, continuing in 11 s", "path": "a/b.json", "completed": 1, "total": 2},
        {"status": "copying", "path": "a/b.json", "completed": 2, "total": 2},
        {"status": "stored", "path": "a/b.json", "completed": 2, "total": 2},
        {"status": "already here", "path": "empty", "completed": 0, "total": 0},
        {"status": "writing manifest", "completed": 2, "total": 2},
    ):
        progress.show(document)
    progress.close()
    assert stream.getvalue().splitlines() == [
        "checking files",
        "a/b.json: rate limited, continuing in 12 s",
        "stored a/b.json 2 B",
        "already here empty 0 B",
        "writing manifest",
    ]


def test_plain_progress_of_a_long_pull_shows_that_it_lives() -> None:
    """A line for each tenth, and not more than one in five seconds."""
    stream, clock = io.StringIO(), iter(range(1, 1000))
    progress = ProgressBars(stream, lambda: float(next(clock)))
    for done in range(101):
        document = {"status": "downloading", "path": "w", "completed": done, "total": 200}
        progress.show(document | {"overall_completed": done * 10**7, "overall_total": 10**9})
    lines = stream.getvalue().splitlines()
    assert lines[0] == "total 10%: 100 MB of 1.0 GB, 10 MB/s, 1m30s left"
    assert [line.split()[1] for line in lines] == [f"{tenth}%:" for tenth in range(10, 100, 10)]


class Screen(io.StringIO):
    """A terminal of 80 columns that forgets nothing; `frame` is what stands there now."""

    def isatty(self) -> bool:
        return True

    def frame(self) -> list[str]:
        text = self.getvalue().rpartition("\x1b[J")[0].rpartition("\x1b[J")[2]
        return [re.sub(r"\x1b\[[0-9]*[A-Z]|\r", "", line) for line in text.split("\n") if line]


def file(path: str, done: int, total: int, whole: int, everything: int, status: str = "downloading") -> dict[str, Any]:
    amounts = {"completed": done, "total": total, "overall_completed": whole, "overall_total": everything}
    return {"status": status, "path": path} | amounts


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> tuple[Screen, ProgressBars]:
    monkeypatch.setenv("TERM", "xterm")
    stream, clock = Screen(), iter(range(1, 10_000))
    return stream, ProgressBars(stream, lambda: float(next(clock)))


def test_few_files_have_a_bar_each_and_a_total(screen: tuple[Screen, ProgressBars]) -> None:
    stream, progress = screen
    progress.show({"status": "listing files"})
    assert stream.frame()[0].startswith("listing files")
    progress.show(file("config.json", 10, 10, 10, 110))
    progress.show(file("sub/model.safetensors", 50, 100, 60, 110))
    assert [line.split(":")[0].rstrip() for line in stream.frame()] == ["config.json", "model.safetensors", "total"]
    assert [line.partition("%")[0][-3:] for line in stream.frame()] == ["100", " 50", " 54"]


def test_one_file_needs_no_total(screen: tuple[Screen, ProgressBars]) -> None:
    stream, progress = screen
    progress.show(file("model.safetensors", 50, 100, 50, 100))
    assert len(stream.frame()) == 1


def test_of_many_files_the_busy_ones_are_shown(screen: tuple[Screen, ProgressBars]) -> None:
    stream, progress = screen
    for number in range(40):
        progress.show(file(f"shard-{number}", 10 if number < 37 else 5, 10, 10 * number, 400))
    assert [line.split(":")[0].rstrip() for line in stream.frame()] == ["shard-37", "shard-38", "shard-39", "total"]
    for number in range(37, 40):
        progress.show(file(f"shard-{number}", 10, 10, 400, 400, "stored"))
    progress.close()
    assert len(stream.frame()) == 1 and "100%" in stream.frame()[0]


def test_trouble_stands_where_speed_would(screen: tuple[Screen, ProgressBars]) -> None:
    stream, progress = screen
    progress.show(file("model.safetensors", 50, 100, 50, 100, "connection lost, trying again"))
    assert stream.frame()[0].endswith("connection lost, trying again")


def test_quantizing_has_a_bar_of_its_own_after_the_download(screen: tuple[Screen, ProgressBars]) -> None:
    stream, progress = screen
    progress.show(file("a", 10, 10, 10, 20))
    progress.show(file("b", 10, 10, 20, 20))
    progress.show({"status": "quantizing", "overall_completed": 5, "overall_total": 20})
    labels = [(line.split(":")[0].rstrip(), line.partition("%")[0][-3:]) for line in stream.frame()]
    assert labels[-2:] == [("total", "100"), ("quantizing", " 25")]


def test_what_was_told_last_is_drawn_though_nothing_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Screen()
    with ProgressBars(stream) as progress:
        progress.show({"status": "checking files"})
        progress.show({"status": "quantizing"})
        for _ in range(500):
            if "quantizing" in stream.frame()[0]:
                break
            time.sleep(0.01)
        assert "quantizing" in stream.frame()[0]
        progress.show(file("w", 5, 10, 5, 10))
    assert "50%" in stream.frame()[0] and len(stream.frame()) == 1


def test_storing_the_result_has_a_bar_while_it_lasts(screen: tuple[Screen, ProgressBars]) -> None:
    stream, progress = screen
    progress.show({"status": "quantizing", "overall_completed": 15, "overall_total": 20})
    progress.show({"status": "writing manifest", "completed": 2, "total": 10})
    assert [line.split(":")[0] for line in stream.frame()] == ["quantizing", "writing manifest"]
    progress.close(whole=True)
    assert all("100%" in line for line in stream.frame())


def test_text_from_elsewhere_cannot_drive_the_terminal(screen: tuple[Screen, ProgressBars]) -> None:
    stream, progress = screen
    progress.show(file("a\x1b]0;gotcha\x07b", 5, 10, 5, 10))
    assert "\x1b]" not in stream.getvalue() and "\x07" not in stream.getvalue()
