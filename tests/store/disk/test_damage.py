"""Damage on disk: found, named, never followed, never deleted by looking, repaired by pulling again."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mlx_serve.store.disk.manifests import decode, encode
from mlx_serve.store.errors import DamagedModel
from mlx_serve.store.store import Store

MakeModel = Callable[..., Path]


def blob(store: Store, hex_digest: str) -> Path:
    return store.directory / "blobs" / f"sha256-{hex_digest}"


def weights_blob(store: Store, name: str = "tiny") -> Path:
    layers = store.find(name).manifest.layers
    return blob(store, next(layer.hex for layer in layers if layer.path == "model.safetensors"))


def test_verify_names_each_damaged_file_and_deletes_none(store: Store, make_model: MakeModel) -> None:
    model = store.pull_folder(make_model())
    path = weights_blob(store)
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    found = list(store.verify("tiny"))
    assert [(file.path, file.ok) for file in found if not file.ok] == [("model.safetensors", False)]
    assert "has changed on disk" in str(next(file.problem for file in found if not file.ok))
    assert [file.path for file in found] == [layer.path for layer in model.manifest.layers]
    assert (found[-1].done_bytes, found[-1].total_bytes) == (model.size, model.size)
    assert path.exists()


def test_pulling_again_repairs_a_flipped_bit(store: Store, make_model: MakeModel) -> None:
    """What is here under the right name is read again before it is trusted."""
    model = store.pull_folder(make_model())
    path = weights_blob(store)
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    assert store.pull_folder(make_model()) == model
    assert all(file.ok for file in store.verify())


def test_a_missing_or_short_blob_makes_the_model_incomplete(store: Store, make_model: MakeModel) -> None:
    model = store.pull_folder(make_model())
    path = weights_blob(store)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(DamagedModel, match=r"model\.safetensors has 5 bytes instead of") as caught:
        store.view(model)
    assert caught.value.hint == "pull the model again to repair it"
    path.unlink()
    with pytest.raises(DamagedModel, match=r"model\.safetensors is missing"):
        store.view(model)
    assert store.models() == [model]
    store.pull_folder(make_model())
    assert store.view(model).is_dir()


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_a_blob_that_is_no_file_is_reported_and_never_followed(store: Store, make_model: MakeModel, kind: str) -> None:
    model = store.pull_folder(make_model())
    path = weights_blob(store)
    copied = path.with_name("elsewhere")
    path.rename(copied)
    if kind == "link":
        path.symlink_to(copied)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(DamagedModel, match="is not a regular file"):
        store.view(model)
    assert [file.path for file in store.verify("tiny") if not file.ok] == ["model.safetensors"]


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["empty", "text", "huge", "link", "fifo", "folder", "dangling"])
def test_a_damaged_ref_is_skipped_with_one_warning_and_can_be_removed(
    store: Store, make_model: MakeModel, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    good = store.pull_folder(make_model("good"))
    store.pull_folder(make_model("bad", fill=1))
    path = store.directory / "refs/local/bad/latest"
    path.unlink()
    if kind in ("empty", "text", "huge"):
        path.write_bytes({"empty": b"", "text": b"sha256:xyz\n", "huge": b"x" * 100_000}[kind])
    elif kind == "link":
        path.symlink_to(store.directory / "refs/local/good/latest")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/nowhere/at/all")
    with caplog.at_level(logging.WARNING, "mlx_serve.store"):
        for _ in range(3):
            assert store.models() == [good]
    assert len(caplog.records) == 1
    assert "local/bad" in caplog.text
    with pytest.raises(DamagedModel):
        store.find("bad")
    assert [file.name for file in store.verify() if not file.ok] == ["local/bad"]
    if kind != "folder":
        assert store.remove("bad").name.display() == "local/bad"
        assert [file.ok for file in store.verify()] == [True] * len(good.manifest.layers)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"null", b"[" * 100_000, b'{"schema":1}', b"\xff", b"x" * 100,
    ],
)  # fmt: skip
def test_a_ref_to_a_manifest_that_is_none_is_skipped(store: Store, make_model: MakeModel, content: bytes) -> None:
    good = store.pull_folder(make_model("good"))
    digest = hashlib.sha256(content).hexdigest()
    blob(store, digest).write_bytes(content)
    (store.directory / "refs/local/bad").mkdir()
    (store.directory / "refs/local/bad/latest").write_text(f"sha256:{digest}\n")
    assert store.models() == [good]
    with pytest.raises(DamagedModel):
        store.find("bad")
    store.remove("bad")
    assert store.models() == [good]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"path":"config.json"', b'"path":"../evil.json"'),
        (b'"path":"config.json"', b'"path":"/etc/x.json"'),
        (b'"path":"config.json"', b'"path":"evil.py"'),
        (b'"path":"config.json"', b'"path":"a/../b.json"'),
        (b'"path":"config.json"', b'"path":"tokenizer.json"'),
        (b'"path":"config.json"', b'"path":"TOKENIZER.json"'),
        (b'"path":"config.json"', b'"path":"a\\\\b.json"'),
        (b'"digest":"sha256:', b'"digest":"../../../sha256:'),
        (b'"digest":"sha256:', b'"digest":"sha512:'),
        (b'"schema":1', b'"schema":2'),
        (b'"kind":"llm"', b'"kind":"virus"'),
    ],
)
def test_a_manifest_cannot_name_files_outside_of_its_view(
    store: Store, make_model: MakeModel, old: bytes, new: bytes
) -> None:
    model = store.pull_folder(make_model())
    data = encode(model.manifest)
    assert old in data
    with pytest.raises(DamagedModel):
        decode(data.replace(old, new, 1))


def test_a_check_tells_how_far_it_is_and_can_be_ended(store: Store, make_model: MakeModel) -> None:
    """While a file is read, not only between files."""
    store.pull_folder(make_model())
    told: list[tuple[int, int]] = []
    files = list(store.verify(progress=lambda done, total: told.append((done, total))))
    assert told[-1] == (files[-1].total_bytes, files[-1].total_bytes)
    assert told == sorted(told) and len(told) >= len(files)

    def leave(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(store.verify(progress=leave))
