"""Connections that break off, stall or drip: what is asked for again, and when the download gives up."""

from __future__ import annotations

import pytest
from fakes.hub import faults
from fakes.hub.faults import Fault
from support.hub_pulls import MB, PLACE, WEIGHTS, Files, MakeFiles, Offer, partial, ranges, sent, weights

from mlx_serve.store.errors import HubUnreachable
from mlx_serve.store.hub.fetch import timeouts
from mlx_serve.store.hub.fetch.timeouts import Timeouts
from mlx_serve.store.store import Store


@pytest.mark.parametrize("cut", [0, 1000, 3 * MB])
@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_that_breaks_off_is_resumed(
    store: Store, offer: Offer, files: Files, cut: int, reset: bool
) -> None:
    hub = offer(files, Fault(2, on="content", cut=cut, reset=reset))
    told: list[str] = []
    store.pull("owner/name", progress=lambda progress: told.append(progress.status))
    assert weights(store) == files[WEIGHTS]
    # What a reset throws away in the kernel's buffers was sent and never read.
    assert sent(hub) <= len(files[WEIGHTS]) + (2 * 3 * MB if reset else 0)


def test_a_line_that_always_breaks_off_still_gets_there(store: Store, offer: Offer, make_files: MakeFiles) -> None:
    files = make_files(300_000)
    hub = offer(files, faults.truncated(50_000, times=None))
    store.pull("owner/name")
    assert weights(store) == files[WEIGHTS]
    assert sent(hub) == len(files[WEIGHTS])


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (faults.truncated(0, times=None), "ended too early"),
        (faults.reset(0, times=None), "the connection was lost"),
        (faults.failing(503, times=None, on="content"), "503"),
    ],
)
def test_without_progress_it_gives_up_after_five_tries_and_keeps_what_is_there(
    store: Store, offer: Offer, make_files: MakeFiles, fault: Fault, words: str
) -> None:
    files = make_files(100_000)
    hub = offer(files, fault, faults.truncated(60_000))
    told: list[str] = []
    with pytest.raises(HubUnreachable, match=words) as caught:
        store.pull("owner/name", progress=lambda progress: told.append(progress.status))
    assert caught.value.hint
    assert len([request for request in hub.journal.entries(PLACE) if request.fault]) == 1 + 5
    assert "connection lost, trying again" in told
    assert partial(store, files).stat().st_size == 60_000
    assert store.models() == []
    hub.heal()
    hub.journal.clear()
    store.pull("owner/name")
    assert sent(hub) == len(files[WEIGHTS]) - 60_000


def test_a_hub_that_is_down_is_asked_five_times(store: Store, offer: Offer, files: Files) -> None:
    """Several streams at once that fail for the same reason are one try."""
    hub = offer(files, faults.failing(500, times=None, on="redirect"))
    with pytest.raises(HubUnreachable, match="500"):
        store.pull("owner/name")
    assert 5 <= len(hub.journal.entries(PLACE)) <= 5 * 3


def test_a_line_that_gives_nothing_is_hung_up_and_dialled_again(
    store: Store, offer: Offer, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "DEFAULT", Timeouts(window=1.0, first_pause=0.01))
    hub = offer(files, faults.stall(1 * MB), faults.silent(on="content"), faults.silent(on="redirect"))
    store.pull("owner/name")
    assert weights(store) == files[WEIGHTS]
    assert sent(hub) <= len(files[WEIGHTS]) + MB


def test_a_line_that_only_drips_is_hung_up_too(
    store: Store, offer: Offer, make_files: MakeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "DEFAULT", Timeouts(window=1.0, min_rate=100_000, first_pause=0.01))
    files = make_files(500_000)
    hub = offer(files, faults.drip(20_000, times=1))
    store.pull("owner/name")
    assert weights(store) == files[WEIGHTS]
    assert len(ranges(hub)) == 2


def test_a_slow_line_is_told_of_all_the_time(store: Store, offer: Offer, make_files: MakeFiles) -> None:
    """Progress comes several times a second, and whoever hears it can end the pull."""
    files = make_files(200_000)
    offer(files, faults.drip(200_000))
    seen: list[int] = []
    store.pull("owner/name", progress=lambda progress: seen.append(progress.overall_completed))
    assert len(set(seen)) > 5
    assert weights(store) == files[WEIGHTS]
