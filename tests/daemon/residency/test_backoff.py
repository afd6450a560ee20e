"""Models that failed to load lately are held back: for how long, and with which words."""

from __future__ import annotations

import pytest

from mlx_serve.daemon.errors import LoadError, Quarantined, UnsupportedByModel
from mlx_serve.daemon.residency import backoff as failures
from mlx_serve.daemon.residency.backoff import Failures


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
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


def die(known: Failures, cause: str = "killed by SIGSEGV", *, loading: bool = False) -> None:
    known.died("a", "acme/model", cause, loading=loading)


def test_nobody_is_held_back_without_a_reason() -> None:
    assert held(Failures()) is None


def test_refused_files_are_held_back_five_seconds(clock: Clock) -> None:
    """With the reason and the seconds that are left; another model is not."""
    known = Failures()
    known.refused("a", LoadError("acme/model", "config.json is missing"))
    clock.now += 1.2
    error = held(known)
    assert error is not None
    assert error.retry_after == 4
    assert "'acme/model' could not be loaded: config.json is missing" in str(error)
    assert held(known, "b") is None
    clock.now += 3.9
    assert held(known) is None


def test_what_is_not_supported_stays_so(clock: Clock) -> None:
    """The files and this version do not change while the daemon runs; asking explicitly looks again."""
    known = Failures()
    known.refused("a", UnsupportedByModel("acme/model", "its config asks to run code"))
    clock.now += 100_000
    assert isinstance(held(known), UnsupportedByModel)
    known.forget("a")
    assert held(known) is None


def test_a_death_is_tried_again_at_once_then_ever_later(clock: Clock) -> None:
    """At once, then after 1, 5 and 30 seconds, and never later than that, where deaths are too rare for quarantine."""
    known = Failures()
    for count, wait in enumerate((0.0, 1.0, 5.0, 30.0, 30.0), start=1):
        die(known, loading=True)
        if wait:
            clock.now += wait - 0.1
            error = held(known)
            assert error is not None and not isinstance(error, Quarantined)
            assert error.retry_after == 1
            assert f"ended while loading {count} times lately (the last time: killed by SIGSEGV)" in str(error)
            clock.now += 0.2
        assert held(known) is None
        clock.now += 301
    assert known.quarantined() == []


def test_three_deaths_in_ten_minutes_are_quarantine(clock: Clock) -> None:
    """Loading or serving. The sentence says why, for how long, and what to do."""
    known = Failures()
    die(known, loading=True)
    clock.now += 300
    die(known)
    clock.now += 299
    assert held(known) is None
    die(known, "exit status 3")
    error = held(known)
    assert isinstance(error, Quarantined) and error.retry_after == 600
    for part in ("10 more minutes", "3 times lately (the last time: exit status 3)", "mlx-serve load acme/model"):
        assert part in str(error)
    (shown,) = known.quarantined()
    assert (shown.name, shown.digest, shown.deaths) == ("acme/model", "a", 3)
    assert shown.until == pytest.approx(clock.now + 600)
    clock.now += 600
    assert held(known) is None and known.quarantined() == []


def test_deaths_further_apart_are_not(clock: Clock) -> None:
    known = Failures()
    for _ in range(3):
        die(known)
        clock.now += 301
    assert known.quarantined() == []


def test_quarantine_doubles_up_to_an_hour(clock: Clock) -> None:
    """One more death after it is enough, for what is tried then is the model that died."""
    known = Failures()
    for _ in range(2):
        die(known)
    for minutes in (10, 20, 40, 60, 60):
        die(known)
        (shown,) = known.quarantined()
        assert shown.until - clock.now == pytest.approx(60 * minutes)
        clock.now += 60 * minutes + 1


def test_an_hour_without_a_death_forgets(clock: Clock) -> None:
    known = Failures()
    for _ in range(3):
        die(known)
    clock.now += 600 + 3601
    die(known)
    assert held(known) is None and known.quarantined() == []
    assert known.deaths["acme/model"] == 4, "the count for metrics goes on"


def test_asking_explicitly_forgets(clock: Clock) -> None:
    known = Failures()
    for _ in range(3):
        die(known)
    known.forget("a")
    assert held(known) is None and known.quarantined() == []
    die(known)
    assert held(known) is None


def test_refused_files_do_not_count_as_deaths(clock: Clock) -> None:
    known = Failures()
    for _ in range(4):
        known.refused("a", LoadError("acme/model", "x"))
    die(known)
    assert held(known) is None


def test_a_restart_is_a_load_after_a_death() -> None:
    """Two deaths before it count as one restart, and a load of a model that was well as none."""
    failures = Failures()
    failures.loaded("d", "a/b")
    assert failures.restarts["a/b"] == 0
    failures.died("d", "a/b", "signal 9", loading=False)
    failures.died("d", "a/b", "signal 9", loading=True)
    failures.loaded("d", "a/b")
    failures.loaded("d", "a/b")
    assert (failures.deaths["a/b"], failures.restarts["a/b"]) == (2, 1)
