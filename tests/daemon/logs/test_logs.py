"""The log: what a line may hold, and that nothing about writing it can hurt the daemon."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlx_serve.daemon.logs import sink as logs
from mlx_serve.daemon.logs.line import MAX_LINE, Formatter, escape


def record(message: str, *values: Any, fields: dict[str, Any] | None = None, error: Any = None) -> logging.LogRecord:
    made = logging.LogRecord("mlx_serve.daemon.main", logging.INFO, __file__, 1, message, values, error)
    if fields is not None:
        made.fields = fields
    return made


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger of our own, so that the root's handlers stay as pytest wants them."""
    made = logging.Logger("mlx_serve.test")
    yield made
    for handler in list(made.handlers):
        handler.close()


def attach(logger: logging.Logger, sink: logs.LogSink) -> logs.LogSink:
    sink.setFormatter(Formatter("json"))
    logger.addHandler(sink)
    return sink


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_json_line_has_time_level_logger_message_and_fields() -> None:
    line = json.loads(Formatter("json").format(record("load model name=%s", "a/b", fields={"seconds": 1.5})))
    assert (line["level"], line["logger"], line["message"]) == ("info", "daemon.main", "load model name=a/b")
    assert line["seconds"] == 1.5 and line["time"].endswith("Z")


def test_a_text_line_quotes_values_with_spaces() -> None:
    line = Formatter("text").format(record("answer request", fields={"path": "/a b", "status": 200}))
    assert line.endswith('answer request path="/a b" status=200')


def test_nothing_in_a_record_can_break_the_line_or_steer_a_terminal() -> None:
    nasty = "a\r\nb\x1b[31m\u2028\u202ec\x00\ud800"
    for style in ("json", "text"):
        line = Formatter(style).format(record(nasty, fields={"path": nasty}))
        assert escape(line) == line
        assert "\\x1b[31m" in line


@pytest.mark.parametrize("style", ["json", "text"])
def test_no_line_is_longer_than_a_kibibyte(style: Any) -> None:
    long = "ü" * 5000
    line = Formatter(style).format(record(long, fields={f"key{i}": long for i in range(20)}))
    assert len(line.encode()) <= MAX_LINE
    if style == "json":
        assert json.loads(line)["message"].startswith("ü")


def test_an_exception_stays_on_one_line_with_its_place() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        line = json.loads(Formatter("json").format(record("fail request", error=sys.exc_info())))
    assert line["error"] == "ValueError: first\\nsecond"
    assert line["trace"].startswith("test_logs.py:")


def test_keys_are_blotted_out() -> None:
    key = "hunter22hunter22"
    formatter = Formatter("text", secrets=[key])
    line = formatter.format(record(f"refuse key {key} Authorization: Bearer abc.def", fields={"key": f"x{key}"}))
    assert key not in line and "abc.def" not in line


def test_a_short_secret_leaves_the_words_of_the_log_alone() -> None:
    """A key of one letter once masked that letter everywhere."""
    line = Formatter("text", secrets=["e", "hunter22"]).format(record("serve requests", fields={"name": "hunter22"}))
    assert "serve requests name=hunter22" in line


def test_of_two_keys_of_which_one_begins_with_the_other_nothing_stays() -> None:
    short, long = "0123456789abcdef", "0123456789abcdef-and-more"
    line = Formatter("text", secrets=[short, long]).format(record(f"see {long}"))
    assert "and-more" not in line and "***" in line


def test_lines_reach_the_file_which_only_its_owner_reads(tmp_path: Path, logger: logging.Logger) -> None:
    path = tmp_path / "8000.log"
    sink = attach(logger, logs.FileSink(path))
    logger.info("start server port=%d", 8000)
    sink.flush()
    assert lines(path)[0]["message"] == "start server port=8000"
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_is_rotated_by_size_and_three_are_kept(tmp_path: Path, logger: logging.Logger) -> None:
    path = tmp_path / "8000.log"
    sink = attach(logger, logs.FileSink(path, max_bytes=300, kept=3))
    for number in range(12):
        logger.info("count number=%d %s", number, "x" * 100)
        sink.flush()
    names = sorted(each.name for each in tmp_path.iterdir())
    assert names == ["8000.log", "8000.log.1", "8000.log.2"]
    last = [lines(path.with_name(name)) for name in reversed(names)]
    numbers = [int(line["message"].split("=")[1].split()[0]) for part in last for line in part]
    assert numbers == list(range(12 - len(numbers), 12)), "the newest lines are kept, in order"
    assert all(path.with_name(name).stat().st_size <= 300 for name in names)


def test_reopen_follows_a_file_that_was_moved_away(tmp_path: Path, logger: logging.Logger) -> None:
    path = tmp_path / "8000.log"
    sink = attach(logger, logs.FileSink(path))
    logger.info("before")
    sink.flush()
    path.rename(tmp_path / "moved")
    assert isinstance(sink, logs.FileSink)
    sink.reopen()
    logger.info("after")
    sink.flush()
    assert [line["message"] for line in lines(path)] == ["after"]
    assert [line["message"] for line in lines(tmp_path / "moved")] == ["before"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_loses_lines_and_nothing_else(logger: logging.Logger) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    sink = attach(logger, logs.LogSink(descriptor))
    for _ in range(3):
        logger.info("lost")
        sink.flush()
    os.close(descriptor)
    logger.info("lost on a closed descriptor")
    sink.flush()
    assert not sink._pending


def test_a_reader_that_stopped_reading_never_blocks_the_caller(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipe takes 64 KiB; everything past that waits in the sink up to its bound, and the rest is counted."""
    monkeypatch.setattr(logs, "_MAX_PENDING", 50)
    reader, writer = os.pipe()
    sink = attach(logger, logs.LogSink(writer))
    for _ in range(1000):
        logger.info("x" * 600)
    assert len(sink._pending) <= 50
    os.close(reader)
    sink.flush()
    assert not sink._pending
    sink.close()
    os.close(writer)


def test_a_bad_format_argument_is_a_line_and_no_error(tmp_path: Path, logger: logging.Logger) -> None:
    sink = attach(logger, logs.FileSink(tmp_path / "log"))
    logger.info("number=%d", "not a number")
    sink.flush()
    assert "could not format" in lines(tmp_path / "log")[0]["message"]


def test_start_and_close_leave_the_root_logger_as_it_was(tmp_path: Path) -> None:
    before = list(logging.getLogger().handlers)
    level = logging.getLogger().level
    started = logs.start(tmp_path / "log", level="DEBUG", style="text")
    try:
        logging.getLogger("mlx_serve.daemon").debug("say something")
        logging.getLogger("sanic.root").info("say nothing")
    finally:
        started.close()
        logging.getLogger().setLevel(level)
    assert logging.getLogger().handlers == before
    text = (tmp_path / "log").read_text()
    assert "say something" in text and "say nothing" not in text


def test_standard_error_gets_the_log_too_unless_it_shall_not(
    tmp_path: Path, logger: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    """launchd keeps it in a file that nobody rotates; the log's own file has every line then as well."""
    for stderr, seen in ((True, 1), (False, 0)):
        path = tmp_path / f"{stderr}.log"
        started = logs.start(path, stderr=stderr)
        logging.getLogger("mlx_serve.test").info("serve")
        started.close()
        assert (path.read_text().count("serve"), capfd.readouterr().err.count("serve")) == (1, seen)
