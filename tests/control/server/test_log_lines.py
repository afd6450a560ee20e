"""The log as `mlx-serve logs` reads it, in front of and behind rotations."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlx_serve.control.log_tail import tail
from mlx_serve.control.server.log_lines import LogReader
from mlx_serve.daemon.logs.sink import FileSink


class Log:
    """A log that is rotated every three lines or so, of which three files are kept."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "8000.log"
        self.sink = FileSink(self.path, max_bytes=300, kept=3)
        self.sink.setFormatter(logging.Formatter("%(message)s"))
        self.count = 0

    def write(self, count: int) -> None:
        for _ in range(count):
            self.sink.emit(logging.makeLogRecord({"msg": f"{self.count} {'x' * 90}"}))
            self.sink.flush()
            self.count += 1


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log(tmp_path)
    yield made
    made.sink.close()


def numbers(lines: list[str]) -> list[int]:
    return [int(line.split()[0]) for line in lines]


def test_the_last_lines_go_back_into_rotated_files(log: Log) -> None:
    """As many as are asked for, in their order, and no more than there are."""
    log.write(8)
    assert sorted(each.name for each in log.path.parent.iterdir()) == ["8000.log", "8000.log.1", "8000.log.2"]
    assert numbers(tail(log.path, 1)[0]) == [7]
    assert numbers(tail(log.path, 6)[0]) == [2, 3, 4, 5, 6, 7]
    everything, offset = tail(log.path, 1000)
    assert numbers(everything)[-1] == 7 and numbers(everything) == sorted(numbers(everything))
    assert offset == log.path.stat().st_size


def test_following_misses_no_line_at_a_rotation(log: Log) -> None:
    """None of those that were written before it, and none of those between two of them."""
    log.write(2)
    reader = LogReader(log.path, tail(log.path, 0)[1])
    found = []
    for _ in range(5):
        log.write(5)  # rotated once or twice
        while lines := reader.read_new():
            found += numbers(lines)
    reader.close()
    assert found == list(range(2, 27))


def test_following_begins_anew_when_another_program_takes_the_file(log: Log) -> None:
    """Moved away, emptied, or deleted: what is written afterwards comes."""
    log.write(1)
    reader = LogReader(log.path, tail(log.path, 0)[1])
    log.path.rename(log.path.with_name("moved"))
    assert reader.read_new() == []
    log.sink.reopen()
    log.write(1)
    assert numbers(reader.read_new()) == [1]
    log.path.write_bytes(b"")
    assert reader.read_new() == []
    log.write(1)
    assert numbers(reader.read_new()) == [2]
    log.path.unlink()
    assert reader.read_new() == []
    log.sink.reopen()
    log.write(1)
    assert numbers(reader.read_new()) == [3]
    reader.close()


def test_an_unfinished_line_waits_for_its_end(log: Log) -> None:
    log.path.write_text("one\ntw")
    reader = LogReader(log.path, 0)
    assert reader.read_new() == ["one"] and reader.read_new() == []
    with open(log.path, "a") as file:
        file.write("o\n")
    assert reader.read_new() == ["two"]
    reader.close()
