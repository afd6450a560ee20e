"""When the engine's loop rests."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from mlx_serve.daemon.engine import device, loop
from mlx_serve.daemon.engine.loop import Loop
from mlx_serve.daemon.protocol import Ask, Cancel, Event, Fatal, Gauges, Limit, Quit


class Busy:
    """A worker that has as many steps to do as it has been cancelled."""

    def __init__(self) -> None:
        self.left = 0
        self.waits = deque[float]()
        self.limits: list[tuple[int, bool]] = []

    @property
    def idle(self) -> bool:
        return not self.left

    @property
    def awaited(self) -> float:
        return self.waits.popleft() if self.waits else 0.0

    def cancel(self, number: int) -> None:
        self.left += number

    def step(self) -> None:
        self.left = max(0, self.left - 1)

    def admit(self, ask: Ask) -> None: ...
    def receive(self, result: object) -> None: ...

    def limit(self, memory: int, *, tight: bool) -> None:
        self.limits.append((memory, tight))

    def drain(self) -> list[Event]:
        return []

    def audit(self) -> str | None:
        return None

    def gauges(self) -> Gauges:
        return Gauges()


class Letters:
    """A mailbox: each look takes the next batch of messages. `patience` is how long each look would have waited."""

    def __init__(self, *batches: list[Any]) -> None:
        self._batches = deque(batches)
        self.patience: list[float | None] = []
        self.reasons: list[str] = []

    def drain(self, *, wait: bool, seconds: float | None = None) -> list[Any]:
        self.patience.append(seconds if wait else 0)
        return self._batches.popleft()

    def send(self, message: object) -> None:
        if isinstance(message, Fatal):
            self.reasons.append(message.message)


def test_a_rest_goes_on_as_long_as_it_wants_to_and_never_while_somebody_decodes() -> None:
    worker, rests = Busy(), iter([0.25, 0.25, None, 0.5])
    letters = Letters([], [], [], [Cancel(id=2)], [], [], [Quit()])
    rested = []

    def rest() -> float | None:
        assert worker.idle
        rested.append(len(letters.patience))
        return next(rests)

    Loop(worker, letters, rest=rest).run()  # type: ignore[arg-type]
    assert letters.patience == [loop.REST_SECONDS, 0.25, 0.25, None, 0, loop.REST_SECONDS, 0.5]
    assert rested == [1, 2, 3, 6]


def test_a_step_waits_for_what_is_worth_it() -> None:
    """Before the next step, for as long as the worker says each time; what comes meanwhile is taken."""
    worker, letters = Busy(), Letters([Cancel(id=2)], [Cancel(id=1)], [], [], [], [], [Quit()])
    worker.waits.extend((0.5, 0.25))
    left: list[int] = []

    class Seen(Busy):
        def step(self) -> None:
            left.append(self.left)
            super().step()

    worker.__class__ = Seen
    Loop(worker, letters, rest=lambda: None).run()  # type: ignore[arg-type]
    assert letters.patience[:3] == [loop.REST_SECONDS, 0.5, 0.25] and left[0] == 3


def test_a_limit_is_what_the_device_has_left_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where other programs hold the rest. When they come or go the worker is told at rest, and not while they stay."""
    left = iter([50, 49, 90, 90, 30, 20])  # asked for with each limit, and at each rest

    monkeypatch.setattr(device, "obtainable", lambda told: min(told, next(left)))
    worker = Busy()
    letters = Letters(
        [Limit(memory_limit=100, tight=True)], [], [], [], [Limit(memory_limit=40, tight=False)], [], [Quit()]
    )
    Loop(worker, letters, rest=lambda: 0.1).run()  # type: ignore[arg-type]
    assert worker.limits == [(50, True), (90, True), (30, False), (20, False)]


def test_a_model_that_nobody_limits_learns_of_others_too(monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter([100, 100, 60])
    monkeypatch.setattr(device, "obtainable", lambda told: min(told, next(left)))
    worker = Busy()
    Loop(worker, Letters([], [], [Quit()]), rest=lambda: 0.1, share=device.MemoryShare(100)).run()  # type: ignore[arg-type]
    assert worker.limits == [(60, False)]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            RuntimeError("cudaMallocAsync(&data, size, stream) failed: out of memory"),
            "the device's memory is full: end what else uses it, or let models have less with models.memory_limit "
            "(RuntimeError: cudaMallocAsync(&data, size, stream) failed: out of memory)",
        ),
        (ValueError("no\nsuch row"), "the engine failed in a step (ValueError: no such row)"),
    ],
)
def test_a_step_that_fails_ends_the_process_and_says_what_was_wrong(error: Exception, told: str) -> None:
    """What to do where memory ran out, which others that use the device can cause too."""

    class Failing(Busy):
        def step(self) -> None:
            raise error

    letters = Letters([Cancel(id=1)], [])
    Loop(Failing(), letters, rest=lambda: None).run()  # type: ignore[arg-type]
    assert letters.reasons == [told]
