"""Views: a folder with the real names, rebuilt whenever it is not exactly what the manifest says."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mlx_serve.store.store import Installed, Store

MakeModel = Callable[..., Path]


@pytest.fixture
def model(store: Store, make_model: MakeModel) -> Installed:
    return store.pull_folder(make_model(files={"1_Pooling/config.json": {}}))


def paths(view: Path) -> set[str]:
    return {path.relative_to(view).as_posix() for path in view.rglob("*") if not path.is_dir()}


def test_a_view_has_exactly_the_files_of_the_manifest(store: Store, model: Installed) -> None:
    view = store.view(model)
    assert paths(view) == {layer.path for layer in model.manifest.layers}
    for layer in model.manifest.layers:
        assert (view / layer.path).stat().st_size == layer.size
    assert store.view(model) == view


def test_a_store_can_be_moved_with_its_views(store: Store, model: Installed, tmp_path: Path) -> None:
    store.view(model)
    store.directory.rename(tmp_path / "moved")
    moved = Store.open(tmp_path / "moved")
    inode = (moved.directory / "views" / model.digest).stat().st_ino
    assert (moved.view(model) / "1_Pooling/config.json").read_text() == "{}"
    assert moved.view(model).stat().st_ino == inode


@pytest.mark.parametrize("damage", ["extra", "python", "missing", "wrong", "file", "dangling", "link", "deep"])
def test_a_view_that_was_tampered_with_is_made_anew(
    store: Store, model: Installed, tmp_path: Path, damage: str
) -> None:
    view = store.view(model)
    if damage == "extra":
        (view / "extra.json").symlink_to(view / "config.json")
    elif damage == "python":
        (view / "modeling.py").write_text("import os")
    elif damage == "missing":
        (view / "config.json").unlink()
    elif damage == "wrong":
        (view / "config.json").unlink()
        (view / "config.json").symlink_to((view / "tokenizer.json").readlink())
    elif damage == "file":
        (view / "config.json").unlink()
        (view / "config.json").write_text("{}")
    elif damage == "deep":
        (view / "a" / "b").mkdir(parents=True)
        (view / "a" / "b" / "x.py").write_text("import os")
    else:
        shutil.rmtree(view)
        view.symlink_to(tmp_path if damage == "link" else tmp_path / "nowhere")
    again = store.view(model)
    assert paths(again) == {layer.path for layer in model.manifest.layers}
    assert not again.is_symlink()
    assert (again / "config.json").read_bytes() == (tmp_path / "sources/tiny/config.json").read_bytes()
    assert [path.name for path in (store.directory / "views").iterdir()] == [model.digest]


def test_many_threads_get_the_same_view(store: Store, model: Installed) -> None:
    views: list[Path] = []
    threads = [threading.Thread(target=lambda: views.append(store.view(model))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(views) == 8
    assert set(views) == {store.directory / "views" / model.digest}
    assert [path.name for path in (store.directory / "views").iterdir()] == [model.digest]
