"""Repositories that a pull refuses, and repositories that change or contradict themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.hub.faults import Fault
from fakes.hub.server import Hub
from support.hub_pulls import WEIGHTS, Files, MakeFiles, content, sent

from mlx_serve.store.disk.filesystem import FileSystem
from mlx_serve.store.errors import HubChanged, NoSpace, SourceError, StoreError, UnsupportedModel
from mlx_serve.store.progress import Progress
from mlx_serve.store.store import Store


@pytest.mark.parametrize(
    ("files", "error", "words"),
    [
        ({"config.json": b'{"model_type": "martian"}'}, UnsupportedModel, "martian"),
        ({"tokenizer_config.json": b'{"auto_map": {"AutoTokenizer": "x.Y"}}'}, UnsupportedModel, "never runs"),
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
    class Small(FileSystem):
        def free(self, folder: Path) -> int:
            return 2_000_000

    hub.add("owner/name", make_files(3_000_000))
    store = Store.open(tmp_path / "models", disk=Small())
    with pytest.raises(NoSpace, match=r"needed 4\.\d MB, have 2\.0 MB"):
        store.pull("owner/name")
    assert sent(hub, f"*/{WEIGHTS}") == 0


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
