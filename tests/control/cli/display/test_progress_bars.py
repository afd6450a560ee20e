"""Progress of a pull: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from support.waiting import wait_until

from mlx_serve.control.cli.display.progress_bars import ProgressBars


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
        wait_until(lambda: "quantizing" in stream.frame()[0], "it is drawn")
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
