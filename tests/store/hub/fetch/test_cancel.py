"""A pull that its caller ends: every thread and connection goes with it."""

from __future__ import annotations

import threading
import time

import pytest
from fakes.hub import faults
from fakes.hub.faults import Fault
from support.hub_pulls import (
    MB,
    PLACE,
    Enough,
    Files,
    Offer,
)

from mlx_serve.store.progress import Progress
from mlx_serve.store.store import Store


@pytest.mark.parametrize("fault", [faults.stall(1 * MB, times=None), faults.silent(times=None, on="content")])
def test_whoever_ends_a_pull_waits_less_than_a_second(store: Store, offer: Offer, files: Files, fault: Fault) -> None:
    """Every thread is gone by then, and the hub sees its connections closed."""
    hub = offer(files, fault)
    before = threading.active_count()

    def report(progress: Progress) -> None:
        if progress.status == "downloading" and hub.journal.entries(PLACE, kind="content"):
            ends.append(time.monotonic())
            raise Enough

    ends: list[float] = []
    with pytest.raises(Enough):
        store.pull("owner/name", progress=report)
    assert time.monotonic() - ends[0] < 1
    own = [thread for thread in threading.enumerate() if thread.name.startswith(("hub-stream", "hub-digest"))]
    assert own == []
    assert len(ends) == 1
    hub.heal()
    store.pull("owner/name")
    assert threading.active_count() < before + 20
