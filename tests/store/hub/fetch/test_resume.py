"""What an interrupted pull left is used, checked, and never followed when it is no plain file."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.hub_pulls import MB, WEIGHTS, Files, Offer, interrupted, partial, sent, weights

from mlx_serve.store.errors import StoreError
from mlx_serve.store.store import Store


def test_an_interrupted_pull_goes_on_where_it_was(store: Store, offer: Offer, files: Files) -> None:
    hub = offer(files)
    interrupted(store, hub, files)
    store.pull("owner/name")
    assert weights(store) == files[WEIGHTS]
    assert sent(hub) <= len(files[WEIGHTS]) - 2 * MB
    assert list(partial(store, files).parent.iterdir()) == []


@pytest.mark.parametrize("kind", ["flipped", "zeroed", "shifted"])
def test_a_partial_that_went_bad_costs_its_own_bytes_and_no_more(
    store: Store, offer: Offer, files: Files, kind: str
) -> None:
    hub = offer(files)
    interrupted(store, hub, files)
    path = partial(store, files)
    data = bytearray(path.read_bytes())
    if kind == "flipped":
        data[100] ^= 1
    path.write_bytes({"flipped": data, "zeroed": bytes(len(data)), "shifted": b"x" + data}[kind])
    store.pull("owner/name")
    assert weights(store) == files[WEIGHTS]
    assert len(files[WEIGHTS]) < sent(hub) < 2 * len(files[WEIGHTS])
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_partial_that_is_no_file_is_named_and_not_followed(
    store: Store, offer: Offer, files: Files, tmp_path: Path, kind: str
) -> None:
    hub = offer(files)
    path = partial(store, files)
    (tmp_path / "precious").write_text("mine")
    path.symlink_to(tmp_path / "precious") if kind == "link" else path.mkdir()
    with pytest.raises(StoreError, match="was not written by the model store"):
        store.pull("owner/name")
    assert (tmp_path / "precious").read_text() == "mine"
    path.unlink() if kind == "link" else path.rmdir()
    store.pull("owner/name")
    assert sent(hub) == len(files[WEIGHTS])
