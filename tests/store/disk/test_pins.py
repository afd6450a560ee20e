"""Files of a pull that was cut short: kept for the next one, whatever others do, and given up with the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.hub.checkpoints import checkpoint
from fakes.hub.server import Hub

from mlx_serve.store.progress import Progress
from mlx_serve.store.store import Store


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        yield running


class Enough(Exception):
    pass


def cut_at(status: str, path: str) -> Callable[[Progress], None]:
    """A report that ends the pull once this is told of a file."""

    def report(progress: Progress) -> None:
        if (progress.status, progress.path) == (status, path):
            raise Enough

    return report


def blobs(store: Store) -> int:
    return len(list((store.directory / "blobs").iterdir()))


def test_a_model_that_shares_files_comes_and_goes_and_they_stay(store: Store, hub: Hub) -> None:
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    files = checkpoint(50_000, 60_000)
    hub.add("acme/one", files)
    hub.add("acme/other", files | {"README.md": b"# Another"})
    with pytest.raises(Enough):
        store.pull("acme/one", progress=cut_at("stored", first))
    store.pull("acme/other")
    store.remove("acme/other")
    sent = hub.bytes_sent
    told: list[Progress] = []
    store.pull("acme/one", progress=told.append)
    assert ("already here", first) in {(progress.status, progress.path) for progress in told}
    assert hub.bytes_sent - sent <= len(files[second]) + 1000


def test_a_download_of_which_nothing_has_come_does_not_hold_its_room(store: Store) -> None:
    """Killed between taking the room and the first byte; one that has begun stays."""
    partial = store.directory / "partial"
    for name, content in (("a.part", b""), ("a.pieces", b"notes"), ("b.part", b"x"), ("b.pieces", b"notes")):
        (partial / name).write_bytes(content)
    Store.open(store.directory)
    assert {path.name for path in partial.iterdir()} == {"b.part", "b.pieces"}


def test_removing_a_model_gives_its_room_back_although_a_later_pull_of_it_was_cut_short(store: Store, hub: Hub) -> None:
    repository = hub.add("acme/one", checkpoint(50_000, 60_000))
    store.pull("acme/one")
    repository.update({"README.md": b"# Changed"})
    with pytest.raises(Enough):
        store.pull("acme/one", progress=cut_at("stored", "README.md"))
    assert list((store.directory / "partial").glob("*.promised"))
    store.remove("acme/one")
    assert blobs(store) == 0
