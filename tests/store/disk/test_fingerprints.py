"""A blob that was changed on disk is read again before it is served; one that was not costs no reading."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mlx_serve.store.disk import blobs
from mlx_serve.store.disk.filesystem import FileSystem
from mlx_serve.store.disk.manifests import Overrides
from mlx_serve.store.errors import DamagedModel
from mlx_serve.store.store import Installed, Store

MakeModel = Callable[..., Path]


class Hashed(list[int]):
    """How many bytes each reading of a stored blob had."""


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Hashed:
    found, real = Hashed(), blobs.sha256

    def counting(descriptor: int, report: Callable[[int], None] = lambda count: None) -> str:
        found.append(os.fstat(descriptor).st_size)
        return real(descriptor, report)

    monkeypatch.setattr(blobs, "sha256", counting)
    return found


@pytest.fixture
def model(store: Store, make_model: MakeModel) -> Installed:
    return store.pull_folder(make_model())


def weights(store: Store, model: Installed) -> Path:
    (layer,) = [layer for layer in model.manifest.layers if layer.path == "model.safetensors"]
    return store.directory / "blobs" / f"sha256-{layer.hex}"


def flip(path: Path) -> None:
    """One bit of the last byte, in place, as a disk or a program might."""
    mode = stat.S_IMODE(path.stat().st_mode)
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    path.chmod(mode)
    later(path)


def later(path: Path) -> None:
    """The clock of some file systems is coarse, and a test is quick."""
    moment = path.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(moment, moment))


def known(store: Store) -> dict[str, list[int]]:
    return dict(json.loads((store.directory / "fingerprints").read_text()))


def test_a_model_as_it_was_pulled_is_served_without_reading_it(store: Store, model: Installed, hashed: Hashed) -> None:
    """In this process, and in the next one."""
    store.view(model)
    again = Store.open(store.directory)
    again.view(again.find("tiny"))
    assert hashed == []
    assert (store.directory / "fingerprints").stat().st_mode & 0o777 == 0o600


def test_a_flipped_bit_is_refused_with_the_files_name(store: Store, model: Installed, hashed: Hashed) -> None:
    """Once read it is not read for every further request; pulling again repairs the model."""
    path = weights(store, model)
    flip(path)
    for _ in range(3):
        with pytest.raises(DamagedModel, match=r"damaged: model\.safetensors has changed on disk") as caught:
            store.view(model)
    assert "pull the model again" in str(caught.value.hint) and "mlx-serve verify" in str(caught.value.hint)
    assert len(hashed) == 1
    store.pull_folder(Path(model.manifest.source.location))
    store.view(model)


def test_a_file_that_was_only_touched_is_read_once_and_served(
    store: Store, model: Installed, hashed: Hashed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mlx_serve.store")
    path = weights(store, model)
    later(path)
    store.view(model)
    store.view(model)
    Store.open(store.directory).view(model)
    assert hashed == [path.stat().st_size]
    assert "hash files model=local/tiny files=1" in caplog.text


def test_a_file_replaced_by_another_of_the_same_size_and_time_is_noticed(store: Store, model: Installed) -> None:
    """Its inode is another one."""
    path = weights(store, model)
    moment = path.stat().st_mtime_ns
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[:-1] + b"\xff")
    os.utime(other, ns=(moment, moment))
    other.replace(path)
    with pytest.raises(DamagedModel, match=r"model\.safetensors has changed"):
        store.view(model)


@pytest.mark.parametrize("content", [None, b"", b"\0\0\0", b"[]", b'{"x": 1}', b'{"x": [1, 2]}', b"{" * 10_000])
def test_without_a_sound_file_of_fingerprints_every_blob_is_read_once(
    store: Store, model: Installed, hashed: Hashed, content: bytes | None
) -> None:
    file = store.directory / "fingerprints"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    opened = Store.open(store.directory)
    opened.view(model)
    assert len(hashed) == len(model.manifest.layers)
    opened.view(model)
    Store.open(store.directory).view(model)
    assert len(hashed) == len(model.manifest.layers)
    assert {layer.hex for layer in model.manifest.layers} <= set(known(store))


def test_verify_remembers_what_it_has_read_and_finds_what_left_no_trace(
    store: Store, model: Installed, hashed: Hashed
) -> None:
    """A byte changed with the time put back cannot be seen from outside; after `verify` the model is refused."""
    (store.directory / "fingerprints").unlink()
    opened = Store.open(store.directory)
    assert all(file.ok for file in opened.verify())
    hashed.clear()
    opened.view(model)
    assert hashed == []
    path = weights(opened, model)
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    opened.view(model)
    assert [file.path for file in opened.verify() if not file.ok] == ["model.safetensors"]
    with pytest.raises(DamagedModel, match=r"model\.safetensors has changed"):
        opened.view(model)
    with pytest.raises(DamagedModel, match=r"model\.safetensors has changed"):
        Store.open(store.directory).view(model)


def test_every_way_into_the_store_is_remembered(
    store: Store, make_model: MakeModel, tmp_path: Path, hashed: Hashed
) -> None:
    """A folder, a built-in, an upload, another store's blob, a model made of another."""
    first = store.pull_folder(make_model())
    builtin = store.pull("starter-rerank")
    data = b"uploaded"
    digest = hashlib.sha256(data).hexdigest()
    with store.upload(digest, len(data)) as incoming:
        incoming.write(data)
        incoming.commit(digest)
    files = {layer.path: layer.digest for layer in first.manifest.layers}
    made = store.create_from_files(files | {"LICENSE": f"sha256:{digest}"}, "mine", Overrides())
    second = Store.open(tmp_path / "second")
    shared = second.pull_folder(store.view(first), name="shared")
    hashed.clear()
    for each in (first, builtin, made):
        store.view(each)
    second.view(shared)
    assert hashed == []


def test_two_processes_keep_each_others_fingerprints(store: Store, make_model: MakeModel, hashed: Hashed) -> None:
    """Each writes the whole file, and takes over what the other has written meanwhile."""
    other = Store.open(store.directory)
    ours = store.pull_folder(make_model("ours", fill=1))
    theirs = other.pull_folder(make_model("theirs", fill=2))
    more = store.pull_folder(make_model("more", fill=3))
    hashed.clear()
    for opened in (store, other, Store.open(store.directory)):
        for each in (ours, theirs, more):
            opened.view(each)
    assert hashed == []


def test_what_gc_removes_is_forgotten(store: Store, model: Installed) -> None:
    assert weights(store, model).name.removeprefix("sha256-") in known(store)
    store.remove("tiny")
    assert weights(store, model).name.removeprefix("sha256-") not in known(store)


def test_a_store_that_cannot_be_written_to_reads_each_blob_once_a_process(
    store: Store, model: Installed, hashed: Hashed
) -> None:
    class ReadOnly(FileSystem):
        def writable(self, folder: Path) -> bool:
            return False

    (store.directory / "fingerprints").unlink()
    (store.directory / "partial").rmdir()  # nothing can be put down there
    opened = Store.open(store.directory, disk=ReadOnly())
    opened.view(model)
    opened.view(model)
    assert len(hashed) == len(model.manifest.layers)
    assert not (store.directory / "fingerprints").exists()


def test_who_only_looks_at_the_small_files_waits_for_no_reading(store: Store, model: Installed, hashed: Hashed) -> None:
    later(weights(store, model))
    store.view(model, checked=False)
    assert hashed == []
