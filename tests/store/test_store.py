"""The store as the rest of the program sees it: pull, list, find, copy, remove, verify, open."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlx_serve.store.disk.filesystem import FileSystem
from mlx_serve.store.disk.manifests import decode, encode
from mlx_serve.store.errors import (
    AmbiguousName,
    InvalidName,
    NoSpace,
    ReadOnlyStore,
    SourceError,
    StoreError,
    StoreVersion,
    UnknownModel,
)
from mlx_serve.store.progress import Progress
from mlx_serve.store.store import Store

MakeModel = Callable[..., Path]


class ReadOnlyDisk(FileSystem):
    def writable(self, folder: Path) -> bool:
        return False


class SmallDisk(FileSystem):
    def free(self, folder: Path) -> int:
        return 1000


class FullDisk(FileSystem):
    """Nothing can be written any more; `files`: how many files could still be made."""

    files: int | None = 0

    def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def free(self, folder: Path) -> int:
        return 33_400_000

    def free_files(self, folder: Path) -> int | None:
        return self.files


def blob(store: Store, hex_digest: str) -> Path:
    return store.directory / "blobs" / f"sha256-{hex_digest}"


def test_models_are_listed_newest_first(store: Store, make_model: MakeModel) -> None:
    for index, name in enumerate(["a", "b", "c"]):
        store.pull_folder(make_model(), name=name)
        os.utime(store.directory / "refs" / "local" / name / "latest", (1000 * index, 1000 * index))
    assert [model.name.display() for model in store.models()] == ["local/c", "local/b", "local/a"]
    assert store.models()[0].modified.tzinfo is not None


def test_find_takes_full_short_and_alias_names_in_any_case(tmp_path: Path, make_model: MakeModel) -> None:
    store = Store.open(tmp_path / "models", {"Chat": "me/Tiny"})
    model = store.pull_folder(make_model(), name="me/Tiny:v1")
    store.copy("me/tiny:v1", "me/Tiny")
    for text in ("me/Tiny", "ME/TINY:LATEST", "tiny", "chat", "CHAT"):
        assert store.resolve(text).display() == "me/Tiny"
    assert store.find("Tiny:V1") == model
    store.copy("chat", "you/tiny")
    with pytest.raises(AmbiguousName):
        store.find("tiny")
    with pytest.raises(UnknownModel) as caught:
        store.find("tinny")
    assert caught.value.suggestions
    with pytest.raises(InvalidName):
        store.find("../etc/passwd")


def test_the_case_of_the_first_writer_stays(store: Store, make_model: MakeModel) -> None:
    store.pull_folder(make_model(), name="Me/Tiny:V1")
    store.pull_folder(make_model(fill=1), name="me/tiny:v1")
    assert [str(model.name) for model in store.models()] == ["Me/Tiny:V1"]
    assert [path.name for path in (store.directory / "refs").iterdir()] == ["Me"]


def test_a_second_name_shares_everything(store: Store, make_model: MakeModel) -> None:
    model = store.pull_folder(make_model())
    before = sorted((store.directory / "blobs").iterdir())
    copied = store.copy("tiny", "other/name:tag")
    assert (copied.digest, str(copied.name)) == (model.digest, "other/name:tag")
    assert sorted((store.directory / "blobs").iterdir()) == before
    store.remove("tiny")
    assert all(file.ok for file in store.verify("other/name:tag"))
    with pytest.raises(InvalidName):
        store.copy("name:tag", "../x")
    with pytest.raises(UnknownModel):
        store.copy("nothing", "x")


def test_remove_frees_what_nothing_else_names(store: Store, make_model: MakeModel) -> None:
    store.pull_folder(make_model("one"))
    kept = store.pull_folder(make_model("two", fill=1))
    removed = store.remove("ONE")
    assert removed.name.display() == "local/one"
    assert {path.name for path in (store.directory / "blobs").iterdir()} == {
        f"sha256-{hex_digest}" for hex_digest in [kept.digest, *(layer.hex for layer in kept.manifest.layers)]
    }
    assert [path.name for path in (store.directory / "refs" / "local").iterdir()] == ["two"]
    with pytest.raises(UnknownModel):
        store.remove("one")


def test_pulling_the_same_folder_again_changes_nothing(store: Store, make_model: MakeModel) -> None:
    first = store.pull_folder(make_model())
    blobs = {path: path.stat().st_ino for path in (store.directory / "blobs").iterdir()}
    seen: list[Progress] = []
    assert store.pull_folder(make_model(), progress=seen.append) == first
    assert {path: path.stat().st_ino for path in (store.directory / "blobs").iterdir()} == blobs
    assert [event.path for event in seen if event.status == "already here"] == [
        layer.path for layer in first.manifest.layers
    ]


def test_progress_adds_up(store: Store, make_model: MakeModel) -> None:
    seen: list[Progress] = []
    model = store.pull_folder(make_model(), progress=seen.append)
    stored = [event for event in seen if event.status == "stored"]
    assert [(event.path, event.digest, event.total) for event in stored] == [
        (layer.path, layer.digest, layer.size) for layer in model.manifest.layers
    ]
    assert seen[-1] == Progress("success", f"sha256:{model.digest}", None, model.size, model.size)


def test_a_pull_that_is_called_off_leaves_nothing(store: Store, make_model: MakeModel) -> None:
    class CalledOff(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.path == "tokenizer.json":
            raise CalledOff

    with pytest.raises(CalledOff):
        store.pull_folder(make_model(), progress=stop)
    assert store.models() == []
    assert list((store.directory / "partial").iterdir()) == []
    assert store.gc().blobs > 0
    assert list((store.directory / "blobs").iterdir()) == []


def test_the_manifest_is_canonical_and_named_by_its_digest(store: Store, make_model: MakeModel) -> None:
    model = store.pull_folder(make_model())
    data = blob(store, model.digest).read_bytes()
    assert decode(data) == model.manifest
    assert encode(decode(data)) == data
    assert b" " not in data.split(b'"kind_reason"')[0]
    assert (store.directory / "refs/local/tiny/latest").read_text() == f"sha256:{model.digest}\n"


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, make_model: MakeModel, umask: int) -> None:
    folder = make_model()
    before = os.umask(umask)
    try:
        store = Store.open(tmp_path / "models")
        store.view(store.pull_folder(folder))
    finally:
        os.umask(before)
    modes = {
        path.relative_to(store.directory).parts[0]: stat.S_IMODE(path.lstat().st_mode)
        for path in store.directory.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    assert modes["blobs"] == 0o444
    assert modes["refs"] == modes["version"] == modes["lock"] == 0o600
    folders = [store.directory, *(path for path in store.directory.rglob("*") if path.is_dir())]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o700 for path in folders)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (0, "the disk has no inodes left and can hold no more files (33.4 MB are free)"),
        (7, "33.4 MB left"),
        (None, "33.4 MB left"),
    ],
)
def test_a_disk_without_inodes_is_told_from_one_without_bytes(
    tmp_path: Path, make_model: MakeModel, files: int | None, sentence: str
) -> None:
    """Else somebody with megabytes to spare is told that no space is left."""
    Store.open(tmp_path / "models")
    disk = FullDisk()
    disk.files = files
    with pytest.raises(NoSpace) as caught:
        Store.open(tmp_path / "models", disk=disk).pull_folder(make_model())
    assert str(caught.value) == f"no space left for the model: {sentence}"


def test_a_file_system_that_counts_no_files_has_no_limit_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs(tmp_path)
    counted = {"f_files": real.f_files or 1, "f_favail": 5, "f_bavail": 1, "f_frsize": 1}
    monkeypatch.setattr(os, "statvfs", lambda folder: SimpleNamespace(**counted))
    assert FileSystem().free_files(tmp_path) == 5
    counted |= {"f_files": 0, "f_favail": 0}  # as btrfs says
    assert FileSystem().free_files(tmp_path) is None


def test_a_full_disk_is_seen_before_anything_is_written(tmp_path: Path, make_model: MakeModel) -> None:
    store = Store.open(tmp_path / "models", disk=SmallDisk())
    with pytest.raises(NoSpace, match=r"needed .* have 1\.0 kB") as caught:
        store.pull_folder(make_model())
    assert caught.value.have == 1000
    assert caught.value.needed is not None
    assert caught.value.hint
    assert list((store.directory / "blobs").iterdir()) == []


def test_a_read_only_store_serves_and_says_so(tmp_path: Path, make_model: MakeModel) -> None:
    Store.open(tmp_path / "models").pull_folder(make_model())
    store = Store.open(tmp_path / "models", disk=ReadOnlyDisk())
    assert store.read_only
    model = store.find("tiny")
    view = store.view(model)
    assert tmp_path not in view.parents
    assert (view / "config.json").read_bytes() == (make_model() / "config.json").read_bytes()
    assert all(file.ok for file in store.verify())
    assert store.gc(dry_run=True).blobs == 0
    for change in (
        lambda: store.pull_folder(make_model()),
        lambda: store.pull("starter"),
        lambda: store.copy("tiny", "b"),
        lambda: store.remove("tiny"),
        store.gc,
    ):
        with pytest.raises(ReadOnlyStore):
            change()
    with pytest.raises(ReadOnlyStore):
        (tmp_path / "empty").mkdir()
        Store.open(tmp_path / "empty", disk=ReadOnlyDisk())


@pytest.mark.parametrize("text", ["2", "0", "", "one", "1 2", "9" * 60])
def test_an_unknown_version_is_refused(store: Store, text: str) -> None:
    (store.directory / "version").write_text(text)
    with pytest.raises(StoreVersion) as caught:
        Store.open(store.directory)
    assert caught.value.hint


def test_a_folder_with_other_things_in_it_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match=r"thesis\.tex"):
        Store.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_store_that_others_may_write_to_is_refused(store: Store) -> None:
    store.directory.chmod(0o770)
    with pytest.raises(StoreError, match="other users may write") as caught:
        Store.open(store.directory)
    assert "chmod" in (caught.value.hint or "")


def test_a_store_of_another_user_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: store.directory.stat().st_uid + 1)
    with pytest.raises(StoreError, match="belongs to another user"):
        Store.open(store.directory)


@pytest.mark.parametrize("source", ["nothing", "a/b/c", "owner/name:tag", ""])
def test_what_is_no_source_at_all_is_refused(store: Store, source: str) -> None:
    with pytest.raises(SourceError) as caught:
        store.pull(source)
    assert caught.value.hint


def test_pull_tells_folders_from_built_ins(
    store: Store, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model()
    assert store.pull(str(folder)).name.display() == "local/tiny"
    monkeypatch.chdir(folder.parent)
    assert store.pull("./tiny", name="second").name.display() == "local/second"
    assert store.pull("mlx-serve/Starter").name.display() == "mlx-serve/starter"
    assert store.find("starter").manifest.source.kind == "builtin"
    with pytest.raises(SourceError, match="revisions"):
        store.pull(str(folder), revision="main")


# --- the process ------------------------------------------------------------------------------------------------------


def test_importing_the_store_is_light() -> None:
    """The daemon imports it at start: no arrays, no models, no event loop, no network."""
    code = (
        "import sys, mlx_serve.store.store\n"
        "heavy = {'numpy', 'mlx', 'mlx_lm', 'transformers', 'huggingface_hub', 'tokenizers', 'asyncio', 'sanic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
