"""The line that says what is waited for: only on a terminal, only for a while, and gone afterwards."""

from __future__ import annotations

import io
import threading

import pytest
from support.waiting import GUARD, wait_until

from mlx_serve.control.cli.display.waiting_line import WaitingLine


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_is_drawn_until_its_end_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control characters of a name do not reach the terminal; what comes after the end is not drawn."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = Screen()
    with WaitingLine(lambda: "loading a\x1b[31m", screen) as line:
        wait_until(lambda: "loading a[31m (" in screen.getvalue(), "it is drawn")
    shown = screen.getvalue()
    assert shown.endswith("\r\x1b[2K") and "\x1b[31m" not in shown
    line.end()
    line._draw("more", 0.0)
    assert screen.getvalue() == shown


def test_nothing_to_say_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen, asked = Screen(), threading.Event()
    with WaitingLine(asked.set, screen):  # type: ignore[arg-type, func-returns-value]  # set gives None
        assert asked.wait(GUARD)
    assert screen.getvalue() == ""


def test_without_a_terminal_nobody_is_asked() -> None:
    stream, before = io.StringIO(), threading.active_count()
    with WaitingLine(lambda: "loading", stream):
        assert threading.active_count() == before
    assert stream.getvalue() == ""
