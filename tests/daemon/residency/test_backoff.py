"""Models that failed to load lately are held back: for how long, and with which words."""

from __future__ import annotations

import pytest

from mlx_serve.daemon.errors import LoadError
from mlx_serve.daemon.residency import backoff as failures
from mlx_serve.daemon.residency.backoff import Failures


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(failures, "time", clock)
    return clock


def held(known: Failures, digest: str = "a") -> LoadError | None:
    try:
        known.check(digest, "acme/model")
    except LoadError as error:
        return error
    return None


def test_nobody_is_held_back_without_a_reason() -> None:
    assert held(Failures()) is None


def test_refused_files_are_held_back_five_seconds(clock: Clock) -> None:
    """With the reason and the seconds that are left; another model is not."""
    known = Failures()
    known.refused("a", "config.json is missing")
    clock.now += 1.2
    error = held(known)
    assert error is not None
    assert error.retry_after == 4
    assert "'acme/model' could not be loaded: config.json is missing" in str(error)
    assert held(known, "b") is None
    clock.now += 3.9
    assert held(known) is None


def test_a_death_is_tried_again_at_once_then_ever_later(clock: Clock) -> None:
    """At once, then after 1, 5 and 30 seconds, and never later than that."""
    known = Failures()
    for count, wait in enumerate((0.0, 1.0, 5.0, 30.0, 30.0), start=1):
        known.died("a", "signal 9")
        if wait:
            clock.now += wait - 0.1
            error = held(known)
            assert error is not None
            assert error.retry_after == 1
            assert f"{count} times in a row, last with signal 9" in str(error)
            clock.now += 0.2
        assert held(known) is None


def test_a_success_forgets(clock: Clock) -> None:
    known = Failures()
    known.died("a", "x")
    known.died("a", "x")
    assert held(known) is not None
    known.forget("a")
    assert held(known) is None
    known.died("a", "x")
    assert held(known) is None


def test_refused_files_do_not_count_as_deaths(clock: Clock) -> None:
    known = Failures()
    known.refused("a", "x")
    known.died("a", "y")
    assert held(known) is None
