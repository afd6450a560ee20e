"""The store's promises at every step of its work: a failing disk, a killed process, the order of syncs and renames."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.hub.server import Hub

from mlx_serve.store.disk.filesystem import FileSystem
from mlx_serve.store.errors import NoSpace, ReadOnlyStore, StoreError
from mlx_serve.store.store import Store

MakeModel = Callable[..., Path]
SWEEP = Path(__file__).with_name("crash_sweep.py")
ERRORS = {"ENOSPC": NoSpace, "EROFS": ReadOnlyStore, "EIO": StoreError, "EMFILE": StoreError, "EXDEV": StoreError}


class FailingDisk(FileSystem):
    """Raises one error at the n-th call and works before and after, without real syncs, which only cost time here.

    `calls` counts; `switched`: the name was made to stand for the new version.
    """

    def __init__(self, failing: int, code: int) -> None:
        self.failing = failing
        self.code = code
        self.calls = 0
        self.switched = False

    def step(self) -> None:
        self.calls += 1
        if self.calls == self.failing:
            raise OSError(self.code, os.strerror(self.code))

    def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> None:
        if self.calls + 1 == self.failing:
            super().write(descriptor, memoryview(data)[: len(data) // 2])
        self.step()
        super().write(descriptor, data)

    def write_at(self, descriptor: int, data: bytes | bytearray | memoryview, position: int) -> None:
        if self.calls + 1 == self.failing:
            super().write_at(descriptor, memoryview(data)[: len(data) // 2], position)
        self.step()
        super().write_at(descriptor, data, position)

    def allocate(self, descriptor: int, size: int) -> None:
        self.step()

    def sync(self, descriptor: int) -> None:
        self.step()

    def sync_folder(self, folder: Path) -> None:
        self.step()

    def rename(self, source: Path, target: Path) -> None:
        self.step()
        super().rename(source, target)
        self.switched |= target.parent.name == "tiny"

    def unlink(self, path: Path) -> None:
        self.step()
        super().unlink(path)

    def make_folder(self, path: Path) -> None:
        self.step()
        super().make_folder(path)


class RecordingDisk(FileSystem):
    """Writes down what was made durable and what was made visible, in order."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []
        self.unsynced: set[int] = set()

    def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> None:
        self.unsynced.add(os.fstat(descriptor).st_ino)
        super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self.unsynced.discard(os.fstat(descriptor).st_ino)
        super().sync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        self.log.append(("sync folder", folder.name))
        super().sync_folder(folder)

    def write_at(self, descriptor: int, data: bytes | bytearray | memoryview, position: int) -> None:
        self.unsynced.add(os.fstat(descriptor).st_ino)
        super().write_at(descriptor, data, position)

    def rename(self, source: Path, target: Path) -> None:
        assert source.stat().st_ino not in self.unsynced, f"{target.name} would be visible before it is durable"
        assert source.stat().st_dev == target.parent.stat().st_dev
        self.log.append(("rename", target.parent.name))
        super().rename(source, target)


def assert_sound(store: Store, names: set[str]) -> None:
    """Every listed model is whole, and nothing unfinished lies about."""
    assert {model.name.display() for model in store.models()} <= names
    assert [file for file in store.verify() if not file.ok] == []
    for model in store.models():
        store.view(model)
    assert list((store.directory / "partial").iterdir()) == []


@pytest.mark.parametrize("code", ERRORS)
def test_a_disk_that_fails_at_any_step_of_a_pull_costs_nothing(
    tmp_path: Path, make_model: MakeModel, code: str
) -> None:
    """The old version serves on, the error says what happened, and the same pull succeeds afterwards."""
    folder = make_model()
    failing = 0
    while True:
        failing += 1
        directory = tmp_path / f"models{failing}"
        disk = FailingDisk(0, getattr(errno, code))
        store = Store.open(directory, disk=disk)
        old = store.pull_folder(make_model("old", fill=3), name="tiny")
        disk.calls, disk.failing, disk.switched = 0, failing, False
        try:
            store.pull_folder(folder)
        except ERRORS[code] as error:
            assert len(str(error)) < 300
            assert_sound(store, {"local/tiny"})
            # After the rename of the ref only the sync of its folder can still fail; then the new version is visible.
            assert (store.models() == [old]) is not disk.switched
        else:
            break
        new = store.pull_folder(folder)
        assert store.models() == [new]
        assert_sound(store, {"local/tiny"})
    assert failing > 12


@pytest.mark.parametrize("work", ["remove", "gc", "copy", "open"])
def test_a_disk_that_fails_at_any_step_of_other_work_costs_nothing(
    tmp_path: Path, make_model: MakeModel, work: str
) -> None:
    failing = 0
    while True:
        failing += 1
        disk = FailingDisk(0, errno.EIO)
        store = Store.open(tmp_path / f"models{failing}", disk=disk)
        store.pull_folder(make_model("kept"))
        store.pull_folder(make_model("other", fill=1))
        store.pull_folder(make_model("other", fill=2))
        doing: dict[str, Callable[[], object]] = {
            "remove": lambda store=store: store.remove("other"),
            "gc": store.gc,
            "copy": lambda store=store: store.copy("kept", "new/copy"),
            "open": lambda failing=failing, disk=disk: Store.open(tmp_path / f"fresh{failing}", disk=disk),
        }
        disk.calls, disk.failing = 0, failing
        try:
            doing[work]()
        except StoreError:
            assert_sound(store, {"local/kept", "local/other", "new/copy"})
            assert store.find("kept")
        else:
            break
        if work == "open":
            assert Store.open(tmp_path / f"fresh{failing}").models() == []
        store.gc()
        assert_sound(store, {"local/kept", "local/other", "new/copy"})
    assert failing > 1


def test_after_a_failed_sync_the_file_is_dropped_and_the_sync_is_not_tried_again(
    tmp_path: Path, make_model: MakeModel
) -> None:
    class NoSync(FileSystem):
        syncs = 0

        def sync(self, descriptor: int) -> None:
            self.syncs += 1
            raise OSError(errno.EIO, "Input/output error")

    Store.open(tmp_path / "models")
    disk = NoSync()
    store = Store.open(tmp_path / "models", disk=disk)
    with pytest.raises(StoreError, match=r"could not store the model: Input/output error \(EIO\)"):
        store.pull_folder(make_model())
    assert disk.syncs == 1
    assert list((store.directory / "blobs").iterdir()) == []


def test_nothing_is_visible_before_it_is_durable(tmp_path: Path, make_model: MakeModel) -> None:
    """The order that a power loss must find: content, then its name, then the folder; the ref after all blobs."""
    disk = RecordingDisk()
    store = Store.open(tmp_path / "models", disk=disk)
    disk.log.clear()
    files = len(store.pull_folder(make_model()).manifest.layers)
    blob = [("rename", "blobs"), ("sync folder", "blobs")]
    folders = [("sync folder", "refs"), ("sync folder", "local")]
    assert disk.log == [*blob * (files + 1), *folders, ("rename", "tiny"), ("sync folder", "tiny")]


@pytest.mark.parametrize("work", ["pull", "update", "remove", "gc", "copy", "open"])
def test_a_process_killed_at_any_step_leaves_a_store_that_needs_no_repair(
    tmp_path: Path, make_model: MakeModel, work: str
) -> None:
    """SIGKILL before, in the middle of and after every write, sync, rename and removal."""
    first, second = make_model("first"), make_model("second", fill=1)
    done = subprocess.run(
        [sys.executable, str(SWEEP), work, str(tmp_path), str(first), str(second)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["kills"] >= {"pull": 30, "update": 14, "remove": 8, "gc": 4, "copy": 8, "open": 8}[work]


def test_a_pull_from_the_hub_killed_at_any_step_goes_on_and_ends_whole(
    tmp_path: Path, make_model: MakeModel, hub: Hub
) -> None:
    """Also at every write of a piece and of the note about it; what is finished is neither swept nor fetched again."""
    first, second = make_model("first"), make_model("second", fill=1)
    hub.add_folder("local/second", second)
    done = subprocess.run(
        [sys.executable, str(SWEEP), "hub", str(tmp_path), str(first), str(second), hub.url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kills"] >= 30


def test_a_disk_that_fails_at_any_step_of_a_pull_from_the_hub_costs_nothing(
    tmp_path: Path, make_model: MakeModel, hub: Hub
) -> None:
    hub.add_folder("local/tiny", make_model())
    old = make_model("old", fill=3)
    failing = 0
    while True:
        failing += 1
        directory = tmp_path / f"models{failing}"
        disk = FailingDisk(0, errno.EIO)
        store = Store.open(directory, disk=disk)
        store.pull_folder(old, name="local/tiny")
        disk.calls, disk.failing, disk.switched = 0, failing, False
        try:
            store.pull("hf.co/local/tiny")
        except StoreError as error:
            assert "EIO" in str(error)
            assert [file for file in store.verify() if not file.ok] == []
            assert (store.find("tiny").manifest.source.kind == "local") is not disk.switched
        if disk.calls < failing:
            break
        assert store.pull("hf.co/local/tiny").manifest.source.kind == "hub"
        assert_sound(Store.open(directory), {"local/tiny"})
    assert failing > 15


def test_nothing_that_comes_from_the_hub_is_visible_before_it_is_durable(
    tmp_path: Path, make_model: MakeModel, hub: Hub
) -> None:
    hub.add_folder("local/tiny", make_model())
    disk = RecordingDisk()
    store = Store.open(tmp_path / "models", disk=disk)
    disk.log.clear()
    files = len(store.pull("hf.co/local/tiny").manifest.layers)
    renamed = [entry for entry in disk.log if entry[0] == "rename"]
    assert renamed == [("rename", "blobs")] * (files + 1) + [("rename", "tiny")]
    assert disk.log.count(("sync folder", "blobs")) == files + 1
    assert disk.log[-1] == ("sync folder", "tiny")
    assert disk.log.index(("rename", "tiny")) > max(
        at for at, e in enumerate(disk.log) if e == ("sync folder", "blobs")
    )
