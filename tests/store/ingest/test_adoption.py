"""Models made out of installed ones: the folder they are made in, and how they get into the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlx_serve.store.errors import DamagedModel, SourceError
from mlx_serve.store.store import Store

MakeModel = Callable[..., Path]
PACKED = {
    "model.embed_tokens.weight": ("U32", [8, 4]),
    "model.embed_tokens.scales": ("BF16", [8, 1]),
    "model.embed_tokens.biases": ("BF16", [8, 1]),
    "model.norm.weight": ("BF16", [4]),
}


@pytest.fixture
def fill(pack: Callable[..., bytes]) -> Callable[..., None]:
    """Write what a job writes: config.json with its settings, and the weights in two shards."""

    def write(folder: Path, source: Path, **config: Any) -> None:
        settings = {"quantization": {"bits": 4, "group_size": 32, "mode": "affine"}}
        plain = json.loads((source / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(plain | settings | config))
        names = {name: f"model-0000{1 + (name > 'model.embed_tokens.t')}-of-00002.safetensors" for name in PACKED}
        for file in set(names.values()):
            (folder / file).write_bytes(pack({name: PACKED[name] for name in PACKED if names[name] == file}))
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))

    return write


def test_a_workspace_is_private_and_gone_at_the_end(store: Store) -> None:
    with store.workspace(0) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert folder.is_relative_to(store.directory)
        (folder / "below").mkdir()
    assert not folder.exists()


def test_what_a_killed_process_left_goes_at_the_next_start_and_with_gc(store: Store) -> None:
    for sweep in (lambda: Store.open(store.directory), store.gc):
        left = store.directory / "partial" / "123-abc.tmp"
        (left / "deep").mkdir(parents=True)
        (left / "deep" / "weights").write_bytes(b"half")
        sweep()
        assert not left.exists()


def test_the_workspace_of_a_live_process_stays(store: Store) -> None:
    with store.workspace(0) as folder:
        Store.open(store.directory)
        assert folder.exists()


def test_new_weights_take_the_place_of_all_old_ones(
    store: Store, make_model: MakeModel, fill: Callable[..., None]
) -> None:
    """One file before, two and an index after; the files beside them, and the dense layers below, are the parent's."""
    source = make_model(
        files={"README.md": "# tiny", "2_Dense/config.json": {}, "2_Dense/model.safetensors": b"\0" * 8}
    )
    source.joinpath("2_Dense/model.safetensors").write_bytes((source / "model.safetensors").read_bytes())
    parent = store.pull_folder(source)
    with store.workspace(1 << 10) as folder:
        fill(folder, source)
        made = store.adopt(folder, name="acme/small", parent=parent, reason="made so")
    layers = {layer.path: layer.digest for layer in made.manifest.layers}
    before = {layer.path: layer.digest for layer in parent.manifest.layers}
    assert sorted(layers) == [
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
        "README.md",
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
    ]
    kept = {path for path in layers if layers[path] == before.get(path)}
    assert kept == {"2_Dense/config.json", "2_Dense/model.safetensors", "README.md", "tokenizer.json"}
    assert list(layers) == sorted(layers)
    assert (made.manifest.parent, made.manifest.kind_reason) == (parent.digest, "made so")
    assert (made.manifest.kind, made.manifest.source) == (parent.manifest.kind, parent.manifest.source)
    assert (made.manifest.dtype, parent.manifest.dtype) == ("bfloat16", "float32")
    assert all(verified.ok for verified in store.verify())
    assert (store.directory / "blobs" / layers["config.json"].replace(":", "-")).stat().st_mode & 0o777 == 0o444


def test_the_parent_may_go_and_the_result_stays_whole(
    store: Store, make_model: MakeModel, fill: Callable[..., None]
) -> None:
    source = make_model()
    parent = store.pull_folder(source)
    with store.workspace(0) as folder:
        fill(folder, source)
        made = store.adopt(folder, name="acme/small", parent=parent)
    store.remove("tiny")
    assert [model.digest for model in store.models()] == [made.digest]
    assert all(verified.ok for verified in store.verify())
    assert (store.view(made) / "tokenizer.json").exists()


def test_a_folder_that_is_no_model_is_refused_and_nothing_changes(
    store: Store, make_model: MakeModel, fill: Callable[..., None]
) -> None:
    source = make_model()
    parent = store.pull_folder(source)

    def torn(folder: Path) -> None:
        fill(folder, source)
        (folder / "model-00002-of-00002.safetensors").write_bytes(b"torn")

    cases: list[tuple[Callable[[Path], object], type[Exception]]] = [(lambda folder: None, SourceError)]
    for break_it, error in [*cases, (torn, DamagedModel)]:
        with store.workspace(0) as folder, pytest.raises(error):
            break_it(folder)
            store.adopt(folder, name="acme/small", parent=parent)
        assert [model.digest for model in store.models()] == [parent.digest]
        assert store.gc(dry_run=True).blobs == 0


def test_a_parent_that_is_damaged_has_no_children(
    store: Store, make_model: MakeModel, fill: Callable[..., None]
) -> None:
    source = make_model()
    parent = store.pull_folder(source)
    tokenizer = next(layer for layer in parent.manifest.layers if layer.path == "tokenizer.json")
    (store.directory / "blobs" / f"sha256-{tokenizer.hex}").unlink()
    with store.workspace(0) as folder, pytest.raises(DamagedModel, match=r"tokenizer\.json is missing"):
        fill(folder, source)
        store.adopt(folder, name="acme/small", parent=parent)
