"""Pulls from the hub into a store: what comes in, what need not be fetched, what is refused, what is told."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.hub.faults import Fault
from fakes.hub.server import Hub

from mlx_serve.store.disk.filesystem import Disk
from mlx_serve.store.errors import (
    AmbiguousName,
    HubChanged,
    HubUnreachable,
    NoSpace,
    SourceError,
    StoreError,
    UnsupportedModel,
)
from mlx_serve.store.progress import Progress
from mlx_serve.store.store import Installed, Store

Files = dict[str, bytes]
MakeFiles = Callable[..., Files]
WEIGHTS = "model.safetensors"


def content(store: Store, model: Installed) -> Files:
    view = store.view(model)
    return {layer.path: (view / layer.path).read_bytes() for layer in model.manifest.layers}


def sent(hub: Hub, path: str = "*") -> int:
    return sum(request.sent for request in hub.journal.entries(path, kind="content"))


def sound(store: Store) -> bool:
    return all(file.ok for file in store.verify()) and not list((store.directory / "partial").iterdir())


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
    assert sent(hub) == sum(map(len, files.values()))
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
    with pytest.raises(SourceError, match="was made here") as caught:
        store.pull("me/pirate")
    assert "owner/name" in (caught.value.hint or "")


# repair


def damage(store: Store, hex_digest: str, kind: str) -> None:
    path = store.directory / "blobs" / f"sha256-{hex_digest}"
    if kind == "missing":
        return path.unlink()
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data[:-3] if kind == "short" else data)
    path.chmod(0o444)
    return None


@pytest.mark.parametrize("kind", ["flipped", "missing", "short"])
@pytest.mark.parametrize("file", [WEIGHTS, "config.json", "tokenizer.json"])
def test_a_pull_repairs_the_damaged_file_and_no_other(
    store: Store, hub: Hub, make_files: MakeFiles, kind: str, file: str
) -> None:
    files = make_files()
    hub.add("owner/name", files)
    model = store.pull("owner/name")
    view = store.view(model)
    damage(store, next(layer.hex for layer in model.manifest.layers if layer.path == file), kind)
    hub.journal.clear()
    assert store.pull("name") == model
    assert hub.bytes_sent == len(files[file])
    assert store.view(model) == view
    assert content(store, model) == files
    assert sound(store)


def test_a_pull_repairs_a_manifest_and_a_name(store: Store, hub: Hub, make_files: MakeFiles) -> None:
    hub.add("owner/name", make_files())
    model = store.pull("owner/name")
    damage(store, model.digest, "flipped")
    assert store.pull("owner/name").manifest.layers == model.manifest.layers
    (store.directory / "refs/owner/name/latest").write_text("?")
    assert store.pull("owner/name").manifest.layers == model.manifest.layers
    assert hub.bytes_sent == sum(map(len, make_files().values()))
    assert [found.name.display() for found in store.models()] == ["owner/name"]


# the hub's own cache


def cache_of(tmp_path: Path, hub: Hub, name: str) -> Path:
    """A snapshot as the hub's library leaves it: links to blobs that are named by what the hub says of them."""
    folder = tmp_path / "hf/hub" / f"models--{name.replace('/', '--')}"
    head = hub.repository(name).head
    for path, file in head.files.items():
        link = folder / "snapshots" / head.id / path
        link.parent.mkdir(parents=True, exist_ok=True)
        (folder / "blobs").mkdir(exist_ok=True)
        (folder / "blobs" / file.etag).write_bytes(file.content.read(0, file.content.size))
        link.symlink_to(f"../../blobs/{file.etag}")
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text(head.id)
    return folder


def snapshot(folder: Path) -> dict[str, tuple[bytes | str, int, int]]:
    return {
        str(path): (str(path.readlink()) if path.is_symlink() else path.read_bytes(), status.st_ino, status.st_mtime_ns)
        for path in folder.rglob("*")
        if not path.is_dir() and (status := path.lstat())
    }


def test_files_of_the_hubs_cache_are_taken_over_and_left_as_they_are(
    store: Store, hub: Hub, make_files: MakeFiles, tmp_path: Path
) -> None:
    files = make_files(5000)
    hub.add("owner/name", files)
    before = snapshot(cache_of(tmp_path, hub, "owner/name"))
    told: list[Progress] = []
    model = store.pull("owner/name", progress=told.append)
    assert content(store, model) == files
    assert hub.bytes_sent == 0
    assert {event.status for event in told if event.path} == {"taken from the hub's cache"}
    assert snapshot(tmp_path / "hf/hub") == before
    assert sound(store)
    for layer in model.manifest.layers:
        path = store.directory / "blobs" / f"sha256-{layer.hex}"
        assert (path.stat().st_nlink, path.stat().st_mode & 0o777) == (1, 0o444)


def test_a_damaged_file_of_the_cache_is_noticed_and_fetched(
    store: Store, hub: Hub, make_files: MakeFiles, tmp_path: Path
) -> None:
    files = make_files(5000)
    hub.add("owner/name", files)
    folder = cache_of(tmp_path, hub, "owner/name")
    for path in (folder / "blobs").iterdir():
        data = bytearray(path.read_bytes())
        data[0] ^= 1
        path.write_bytes(data)
    assert content(store, store.pull("owner/name")) == files
    assert hub.bytes_sent == sum(map(len, files.values()))
    assert sound(store)


def test_offline_the_cache_is_all_there_is(
    store: Store, hub: Hub, make_files: MakeFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make_files(5000)
    hub.add("owner/name", files)
    folder = cache_of(tmp_path, hub, "owner/name")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert content(store, store.pull("owner/name")) == files
    weights = hashlib.sha256(files[WEIGHTS]).hexdigest()
    (folder / "blobs" / weights).write_bytes(bytes(len(files[WEIGHTS])))
    assert content(store, store.pull("owner/name")) == files
    store.remove("name")
    with pytest.raises(HubUnreachable, match="HF_HUB_OFFLINE"):
        store.pull("owner/name")
    assert hub.requests == []


# refusals


@pytest.mark.parametrize(
    ("files", "error", "words"),
    [
        ({"config.json": b'{"model_type": "martian"}'}, UnsupportedModel, "martian"),
        ({"tokenizer_config.json": b'{"auto_map": {"AutoTokenizer": "x.Y"}}'}, UnsupportedModel, "never run here"),
        ({"config.json": b"{"}, StoreError, "not valid JSON"),
        ({"model-00001-of-00009.safetensors": b"x" * 900, WEIGHTS: None}, SourceError, "00002-of-00009"),
        ({"model.safetensors.index.json": b'{"weight_map": {"a": "../../x.safetensors"}}'}, StoreError, "outside"),
    ],
)
def test_what_cannot_be_served_is_refused_before_its_weights(
    store: Store, hub: Hub, make_files: MakeFiles, files: Files, error: type[StoreError], words: str
) -> None:
    files = make_files() | {WEIGHTS: b"x" * 900} | files
    hub.add("owner/name", {path: data for path, data in files.items() if data is not None})
    with pytest.raises(error, match=words):
        store.pull("owner/name")
    assert sent(hub, "*.safetensors") == 0
    assert store.models() == []


def test_weights_that_are_none_are_refused_after_all(store: Store, hub: Hub, make_files: MakeFiles) -> None:
    """The hub's digest is right, and still the file is no safetensors file."""
    hub.add("owner/name", make_files() | {WEIGHTS: b"\xff" * 900})
    with pytest.raises(StoreError, match=WEIGHTS):
        store.pull("owner/name")
    assert store.models() == []


def test_a_full_disk_says_how_much_is_missing_before_it_starts(tmp_path: Path, hub: Hub, make_files: MakeFiles) -> None:
    class Small(Disk):
        def free(self, folder: Path) -> int:
            return 2_000_000

    hub.add("owner/name", make_files(3_000_000))
    store = Store.open(tmp_path / "models", disk=Small())
    with pytest.raises(NoSpace, match=r"needed 4\.\d MB, have 2\.0 MB"):
        store.pull("owner/name")
    assert sent(hub, f"*/{WEIGHTS}") == 0


# a repository that changes


def test_a_push_between_the_listing_and_a_file_is_listed_once_more(
    store: Store, hub: Hub, make_files: MakeFiles
) -> None:
    """As when somebody deletes the branch's old commit: never a mix of two."""
    hub.add("owner/name", make_files(seed=1))
    first = True

    def report(progress: Progress) -> None:
        nonlocal first
        if progress.status == "checking files" and first:
            first = False
            hub.add("owner/name", make_files(seed=2))
            hub.fault("*/config.json", Fault(1, commit="f" * 40))

    model = store.pull("owner/name", progress=report)
    assert content(store, model) == make_files(seed=2)
    assert model.manifest.source.revision == hub.repository("owner/name").head.id


def test_a_hub_that_contradicts_itself_is_not_believed(store: Store, hub: Hub, make_files: MakeFiles) -> None:
    hub.add("owner/name", make_files())
    for fault in (Fault(None, commit="f" * 40), Fault(None, etag=f'"{"e" * 64}"')):
        hub.heal()
        hub.fault(f"*/resolve/*{WEIGHTS}", fault)
        with pytest.raises(HubChanged, match=WEIGHTS):
            store.pull("owner/name")
    assert sent(hub, f"*{WEIGHTS}") == 0


# what is kept in between


class Enough(Exception):
    pass


def stop_at(status: str) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if progress.status == status:
            raise Enough

    return report


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


# built-in models


def test_a_built_in_model_is_the_same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No time of today and no path of this machine is in its manifest."""
    import shutil

    from mlx_serve.store.ingest import builtin

    one = Store.open(tmp_path / "one").pull("starter")
    shutil.copytree(builtin._SHIPPED, tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere").rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    monkeypatch.setattr(builtin, "_SHIPPED", tmp_path / "elsewhere")
    two = Store.open(tmp_path / "two").pull("mlx-serve/starter")
    assert one.digest == two.digest
    assert str(tmp_path) not in json.dumps(str(one.manifest))
