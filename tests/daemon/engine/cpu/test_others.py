"""What other programs use of the processor, from a clock and counts that a test sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlx_serve.daemon.engine.cpu.others import WINDOW_SECONDS, Others, busy_seconds


class Machine:
    """Seconds since its start, those that its cores were busy, and those of them for this process."""

    def __init__(self) -> None:
        self.clock, self.busy, self.own = 100.0, 40.0, 7.0

    def go_on(self, seconds: float, *, busy: float, own: float) -> None:
        """So many cores are busy, so many of them for us."""
        self.clock += seconds
        self.busy += seconds * busy
        self.own += seconds * own

    def others(self) -> Others:
        return Others(lambda: self.busy, lambda: self.own, lambda: self.clock)


def test_what_is_not_ours_is_others() -> None:
    machine = Machine()
    others = machine.others()
    assert others.cores == 0.0
    for busy, own in ((2.0, 2.0), (2.0, 1.0), (1.5, 0.25), (0.0, 0.0)):
        machine.go_on(1.0, busy=busy, own=own)
        assert others.cores == pytest.approx(busy - own)


def test_a_moment_says_nothing() -> None:
    """Counts of a hundredth of a second are added up until they mean something."""
    machine = Machine()
    others = machine.others()
    machine.go_on(1.0, busy=1.0, own=0.0)
    assert others.cores == pytest.approx(1.0)
    machine.go_on(WINDOW_SECONDS / 2, busy=0.0, own=0.0)
    assert others.cores == pytest.approx(1.0)
    machine.go_on(WINDOW_SECONDS, busy=0.0, own=0.0)
    assert others.cores == 0.0


def test_what_was_before_is_forgotten() -> None:
    """Others count again when they have been seen for a while."""
    machine = Machine()
    others = machine.others()
    machine.go_on(1.0, busy=2.0, own=0.5)
    assert others.cores == pytest.approx(1.5)
    machine.go_on(1.0, busy=2.0, own=0.5)
    others.forget()
    assert others.cores == 0.0
    machine.go_on(WINDOW_SECONDS, busy=1.0, own=0.25)
    assert others.cores == pytest.approx(0.75)


def test_counts_that_do_not_fit_are_nobody_s() -> None:
    """Our own seconds are exact, the machine's are not."""
    machine = Machine()
    others = machine.others()
    machine.go_on(1.0, busy=1.0, own=1.1)
    assert others.cores == 0.0


def test_where_nobody_counts_there_are_no_others() -> None:
    machine = Machine()
    others = Others(lambda: None, lambda: machine.own, lambda: machine.clock)
    machine.go_on(1.0, busy=2.0, own=0.5)
    assert others.cores == 0.0


def test_the_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle and waiting for a disk are not busy, and time of guests is in that of users already."""
    monkeypatch.setattr("os.sysconf", lambda name: 100)
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 200 300 10000 5000 40 50 60 7000 8000\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    assert busy_seconds(stat) == 7.5
    stat.write_text("cpu  100\n")
    assert busy_seconds(stat) is None
    assert busy_seconds(tmp_path / "none") is None


def test_this_machine_counts_or_does_not() -> None:
    first, second = busy_seconds(), busy_seconds()
    assert (first is None and second is None) or (first is not None and second is not None and second >= first > 0)
