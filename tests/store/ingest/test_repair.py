"""A pull repairs damaged files, manifests and names, and fetches nothing else."""

from __future__ import annotations

import pytest
from fakes.hub.server import Hub
from support.hub_pulls import WEIGHTS, MakeFiles, content, damage, sound

from mlx_serve.store.store import Store


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
