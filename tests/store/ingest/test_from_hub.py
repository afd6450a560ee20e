"""Pulls from the hub into a store: what comes in, under which name and revision, and what is told."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.hub.server import Hub
from support.hub_pulls import WEIGHTS, Enough, MakeFiles, content, sent, sound

from mlx_serve.store.errors import AmbiguousName, SourceError
from mlx_serve.store.progress import Progress
from mlx_serve.store.store import Store


def stop_at(status: str) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if progress.status == status:
            raise Enough

    return report


def test_a_model_comes_in_as_the_hub_has_it_at_one_commit(store: Store, hub: Hub, make_files: MakeFiles) -> None:
    files = make_files(5000, LICENSE=b"MIT", chat_template__jinja=b"{{ messages }}", empty__txt=b"")
    left = {"pytorch_model.bin": b"pickle", "modeling.py": b"import os", ".gitattributes": b"*", "a/b/c.json": b"{}"}
    repository = hub.add("Owner/Name", files | left)
    threads = threading.active_count()
    model = store.pull("owner/name")
    assert model.name.display() == "Owner/Name"
    source = model.manifest.source
    assert (source.kind, source.location, source.revision) == ("hub", "Owner/Name", repository.head.id)
    assert content(store, model) == files
    assert sent(hub, "*") == sum(map(len, files.values()))
    assert sound(store)
    assert store.find("Name") == model
    assert threading.active_count() < threads + 12  # some of them the hub's


def test_a_repeated_pull_fetches_nothing_and_changes_nothing(store: Store, hub: Hub, make_files: MakeFiles) -> None:
    hub.add("owner/name", make_files())
    first = store.pull("owner/name")
    hub.journal.clear()
    told: list[Progress] = []
    assert store.pull("owner/name", progress=told.append) == first
    assert hub.bytes_sent == 0
    assert not hub.journal.entries("*/resolve/*")
    assert {event.status for event in told if event.path} == {"already here"}
    assert told[-1].fetched == 0


def test_what_was_fetched_is_served_without_reading_it_again(
    store: Store, hub: Hub, make_files: MakeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("owner/name", make_files())
    model = store.pull("owner/name")

    def read(*_: object) -> str:
        raise AssertionError("a blob is read")

    monkeypatch.setattr("mlx_serve.store.disk.blobs.sha256", read)
    store.view(model)


def test_what_two_models_share_is_fetched_once(store: Store, hub: Hub, make_files: MakeFiles) -> None:
    """Small files too, which the hub knows by another digest than the store."""
    hub.add("owner/one", make_files(4000, tokenizer_config__json=b'{"a": 1}'))
    hub.add("owner/two", make_files(4000, tokenizer_config__json=b'{"b": 2}'))
    store.pull("owner/one")
    hub.journal.clear()
    store.pull("owner/two")
    assert hub.bytes_sent == len(b'{"b": 2}')
    assert sound(store)


def test_one_content_under_two_names_is_fetched_once(store: Store, hub: Hub, make_files: MakeFiles) -> None:
    hub.add("owner/name", make_files(4000, LICENSE=b"terms", NOTICE=b"terms"))
    model = store.pull("owner/name")
    assert sent(hub, "*/LICENSE") + sent(hub, "*/NOTICE") == 5
    assert content(store, model)["NOTICE"] == b"terms"


def test_progress_counts_every_file_and_the_whole(store: Store, hub: Hub, make_files: MakeFiles) -> None:
    files = make_files(3_000_000)
    hub.add("owner/name", files)
    told: list[Progress] = []
    store.pull("owner/name", progress=told.append)
    whole = sum(map(len, files.values()))
    statuses = [event.status for event in told]
    order = ["listing files", "checking files", "downloading", "stored", "writing manifest", "success"]
    assert sorted(order, key=statuses.index) == order
    assert {event.path for event in told if event.status == "stored"} == set(files)
    assert all(event.overall_total == whole for event in told if event.status != "listing files")
    overall = [event.overall_completed for event in told]
    assert overall == sorted(overall)
    assert (told[-1].overall_completed, told[-1].fetched) == (whole, whole)
    assert told[-1].digest is not None


@pytest.mark.parametrize(
    "source",
    [
        "owner/Name",
        "OWNER/NAME",
        "hf.co/owner/Name",
        "https://huggingface.co/owner/Name",
        "Name",
        "mine",
        "owner/name@main",
    ],
)
def test_a_source_can_be_written_in_many_ways(tmp_path: Path, hub: Hub, make_files: MakeFiles, source: str) -> None:
    """The last two forms stand for what is installed, and for an alias of the user's."""
    hub.add("owner/Name", make_files())
    store = Store.open(tmp_path / "models", {"mine": "owner/name"})
    if source == "Name":
        store.pull("owner/name")
    assert store.pull(source).name.display() == "owner/Name"


def test_a_revision_is_pinned_and_shown(store: Store, hub: Hub, make_files: MakeFiles) -> None:
    hub.add("owner/name", make_files(seed=1))
    old = hub.repository("owner/name").head.id
    hub.add("owner/name", make_files(seed=2))
    hub.add("owner/name", make_files(seed=3), branch="dev")
    for source, revision, seed in (
        ("owner/name@" + old, None, 1),
        ("owner/name", old, 1),
        ("owner/name", "dev", 3),
        ("name@dev", None, 3),
        ("name", None, 2),
    ):
        model = store.pull(source, revision=revision)
        assert content(store, model)[WEIGHTS] == make_files(seed=seed)[WEIGHTS]


def test_an_installed_model_is_pulled_again_from_where_it_came(
    store: Store, hub: Hub, make_files: MakeFiles, make_model: Callable[..., Path]
) -> None:
    hub.add("owner/name", make_files(seed=1))
    store.pull("owner/name", name="me/mine")
    hub.add("owner/name", make_files(seed=2))
    again = store.pull("mine")
    assert (again.name.display(), again.manifest.source.location) == ("me/mine", "owner/name")
    assert content(store, again)[WEIGHTS] == make_files(seed=2)[WEIGHTS]
    folder = make_model("here", fill=1)
    store.pull_folder(folder)
    make_model("here", fill=2)
    assert store.pull("here").digest == store.pull_folder(folder).digest
    assert store.pull("starter") == store.pull("mlx-serve/starter")
    store.copy("starter", "me/beginner")
    assert store.pull("beginner").name.display() == "me/beginner"
    store.copy("me/mine", "other/mine")
    with pytest.raises(AmbiguousName):
        store.pull("mine")
    with pytest.raises(SourceError, match="revisions"):
        store.pull("here", revision="main")


def test_a_model_that_was_made_here_is_not_replaced_by_what_it_was_made_of(
    store: Store, hub: Hub, make_files: MakeFiles
) -> None:
    from mlx_serve.store.disk.manifests import Overrides

    hub.add("owner/name", make_files())
    store.pull("owner/name")
    store.create("name", "me/pirate", Overrides(system="Arr."))
    with pytest.raises(SourceError, match="was made from another model") as caught:
        store.pull("me/pirate")
    assert "owner/name" in (caught.value.hint or "")


def test_files_that_are_finished_outlive_gc_and_a_restart_before_they_have_a_model(
    store: Store, hub: Hub, make_files: MakeFiles
) -> None:
    files = make_files(4000)
    hub.add("owner/name", files)
    with pytest.raises(Enough):
        store.pull("owner/name", progress=stop_at("writing manifest"))
    assert Store.open(store.directory).gc().blobs == 0
    hub.journal.clear()
    model = store.pull("owner/name")
    assert hub.bytes_sent == 0
    assert content(store, model) == files
    assert sound(store)
    store.remove("name")
    assert list((store.directory / "blobs").iterdir()) == []


def test_and_they_go_when_nobody_comes_back(
    store: Store, hub: Hub, make_files: MakeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("owner/name", make_files(4000))
    with pytest.raises(Enough):
        store.pull("owner/name", progress=stop_at("writing manifest"))
    old = time.time() - 15 * 24 * 3600
    for path in (store.directory / "partial").iterdir():
        os.utime(path, (old, old))
    store.gc()
    store.gc()
    assert list((store.directory / "partial").iterdir()) == []
    assert list((store.directory / "blobs").iterdir()) == []
