"""Content that is not what the hub listed: fetched once more, then named."""

from __future__ import annotations

import pytest
from fakes.hub import faults
from fakes.hub.faults import Fault
from fakes.hub.server import Hub
from support.hub_pulls import WEIGHTS, MakeFiles, Offer, partial, ranges, weights

from mlx_serve.store.errors import WrongContent
from mlx_serve.store.store import Store


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (faults.corrupt(70_000, times=None), "digest mismatch, expected sha256:"),
        (faults.html(times=None), "of text/html"),
        (Fault(None, on="content", gzip=True), "compressed"),
        (Fault(None, on="content", extra=1), "instead of"),
    ],
)
def test_wrong_content_is_fetched_once_more_and_then_named(
    store: Store, offer: Offer, make_files: MakeFiles, fault: Fault, words: str
) -> None:
    files = make_files(100_000)
    hub = offer(files, fault)
    with pytest.raises(WrongContent, match=words) as caught:
        store.pull("owner/name")
    assert WEIGHTS in str(caught.value)
    assert caught.value.hint
    assert len(ranges(hub)) == 2
    assert not partial(store, files).exists()
    assert store.models() == []


def test_a_small_file_is_checked_by_its_git_id(store: Store, hub: Hub, make_files: MakeFiles) -> None:
    hub.add("owner/name", make_files())
    hub.fault("*/tokenizer.json", faults.corrupt(times=None))
    with pytest.raises(WrongContent, match=r"tokenizer\.json .*git id"):
        store.pull("owner/name")


@pytest.mark.parametrize("way", ["chunked", "no_length"])
def test_a_body_of_unknown_length_is_fine_when_it_is_right(
    store: Store, offer: Offer, make_files: MakeFiles, way: str
) -> None:
    files = make_files(2_000_000)
    hub = offer(files, Fault(None, on="content", **{way: True}))
    store.pull("owner/name")
    assert weights(store) == files[WEIGHTS]
    assert len(ranges(hub)) == 1


@pytest.mark.parametrize("way", ["chunked", "no_length"])
def test_a_body_without_end_never_takes_more_room_than_the_file(
    store: Store, offer: Offer, make_files: MakeFiles, way: str
) -> None:
    files = make_files(100_000)
    offer(files, Fault(None, on="content", flip=5, endless=True, **{way: True}))
    with pytest.raises(WrongContent):
        store.pull("owner/name")
    assert sum(path.stat().st_size for path in store.directory.rglob("*") if path.is_file()) < 110_000
