"""A pull that its caller ends: every thread and connection goes with it."""

from __future__ import annotations

import threading

import pytest
from fakes.hub import faults
from fakes.hub.faults import Fault
from support.hub_pulls import MB, PLACE, Enough, Files, Offer

from mlx_serve.store.hub.fetch import timeouts
from mlx_serve.store.hub.fetch.timeouts import Timeouts
from mlx_serve.store.progress import Progress
from mlx_serve.store.store import Store


@pytest.mark.parametrize("fault", [faults.stall(1 * MB, times=None), faults.silent(times=None, on="content")])
def test_whoever_ends_a_pull_does_not_wait_for_its_line(
    store: Store, offer: Offer, files: Files, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quiet line would be waited for without end here. Every thread is gone, and the hub sees connections closed."""
    monkeypatch.setattr(timeouts, "DEFAULT", Timeouts(window=3600.0))
    hub = offer(files, fault)
    before = threading.active_count()

    def report(progress: Progress) -> None:
        if progress.status == "downloading" and hub.journal.entries(PLACE, kind="content"):
            nonlocal ends
            ends += 1
            raise Enough

    ends = 0
    with pytest.raises(Enough):
        store.pull("owner/name", progress=report)
    own = [thread for thread in threading.enumerate() if thread.name.startswith("hub-")]
    assert own == []
    assert ends == 1
    hub.heal()
    store.pull("owner/name")
    assert threading.active_count() < before + 20
