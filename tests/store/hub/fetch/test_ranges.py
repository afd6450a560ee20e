"""Servers that ignore ranges or send others: the file still arrives whole, in one piece if need be."""

from __future__ import annotations

import threading

import pytest
from fakes.hub import faults
from fakes.hub.faults import Fault
from support.hub_pulls import MB, WEIGHTS, Files, MakeFiles, Offer, partial, ranges, sent, weights

from mlx_serve.store.errors import HubUnreachable
from mlx_serve.store.store import Store


@pytest.mark.parametrize(
    "fault",
    [
        faults.without_ranges(),
        faults.wrong_range("bytes 5-10/100", times=2),
        faults.wrong_range("bytes 0-10/*", times=2),
        faults.wrong_range("garbage", times=2),
        faults.failing(416, times=2, on="content"),
        Fault(2, on="content", shift=1),
        Fault(2, on="content", flip=100),
        Fault(2, on="content", extra=10),
    ],
    ids=["ignored", "elsewhere", "short", "garbage", "416", "shifted", "flipped", "extra"],
)
def test_ranges_that_go_wrong_end_with_the_whole_file_in_one_piece(
    store: Store, offer: Offer, files: Files, fault: Fault
) -> None:
    hub = offer(files, fault)
    seen: list[int] = []
    store.pull("owner/name", progress=lambda p: seen.append(p.completed) if p.path == WEIGHTS else None)
    assert weights(store) == files[WEIGHTS]
    assert ranges(hub)[-1] is None or fault.shift or fault.flip is not None
    assert partial(store, files).parent.exists()
    assert list(partial(store, files).parent.iterdir()) == []


def test_a_server_without_ranges_that_breaks_off_begins_again(
    store: Store, offer: Offer, make_files: MakeFiles
) -> None:
    files = make_files(300_000)
    hub = offer(files, faults.without_ranges(), Fault(3, on="content", ignore_range=True, cut=100_000))
    store.pull("owner/name")
    assert weights(store) == files[WEIGHTS]
    rest = f"bytes=100000-{len(files[WEIGHTS]) - 1}"
    assert ranges(hub) == [None, rest, rest, None]


def test_one_odd_answer_among_many_does_not_cost_what_is_there(store: Store, offer: Offer, files: Files) -> None:
    hub = offer(files, faults.wrong_range("bytes 5-10/100"))
    store.pull("owner/name")
    assert weights(store) == files[WEIGHTS]
    assert None not in ranges(hub)
    assert sent(hub) <= len(files[WEIGHTS]) + 8 * MB


def test_a_server_without_ranges_that_always_breaks_off_is_given_up(
    store: Store, offer: Offer, make_files: MakeFiles
) -> None:
    files = make_files(300_000)
    hub = offer(files, Fault(None, on="content", ignore_range=True, cut=1000))
    interrupted_at = threading.active_count()
    with pytest.raises(HubUnreachable):
        store.pull("owner/name")
    assert len(ranges(hub)) < 20
    assert threading.active_count() <= interrupted_at + 8
