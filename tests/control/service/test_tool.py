"""Running a service manager's command: what it printed, and each way to fail as one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlx_serve.control.service import tool
from mlx_serve.control.service.service_error import ServiceError


def program(folder: Path, text: str) -> str:
    path = folder / "manager"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_the_outcome_is_what_it_printed_in_its_own_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its messages are read, so they must not be translated; bytes that are no text are no failure."""
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    done = tool.call(program(tmp_path, "echo $1 $LC_ALL; printf '\\n \\377 first\\nsecond\\n' >&2; exit 3"), "state")
    assert (done.code, done.output, done.last) == (3, "state C\n", "\ufffd first")


def test_without_an_error_its_output_tells_and_else_its_status(tmp_path: Path) -> None:
    assert tool.call(program(tmp_path, "echo out; exit 1")).last == "out"
    assert tool.call(program(tmp_path, "exit 4")).last == "exit status 4"


def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(ServiceError, match="there is no launchctl-of-nobody on PATH") as raised:
        tool.call("launchctl-of-nobody")
    assert raised.value.hint == "run the daemon with: mlx-serve start"


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"manager stop` did not end within 0 s"):
        tool.call(program(tmp_path, "exec sleep 600"), "stop", seconds=0.1)


def test_the_last_error_of_ours_is_found_among_other_lines() -> None:
    assert tool.sentence('mlx-serve: one\nmlx-serve: two; do it\n{"level": "info"}\n') == "two; do it"
    assert tool.sentence("another program: fails\n") is None
