"""What macOS does otherwise with files, by fakes of its calls: none of this was run there.

Calls that move more than INT_MAX bytes fail, fsync leaves things in the drive's cache, Finder leaves files behind, and
Time Machine copies what nobody excludes.
"""

from __future__ import annotations

import ast
import ctypes
import errno
import fcntl
import mmap
import os
import plistlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.imports import modules

from mlx_serve.daemon.engine.quantize import shards
from mlx_serve.store.disk import filesystem
from mlx_serve.store.disk.filesystem import FileSystem
from mlx_serve.store.store import Store
from mlx_serve.store.system import backups

INT_MAX = (1 << 31) - 1
F_FULLFSYNC = 51
MakeModel = Callable[..., Path]

# The calls that move bytes and that Python hands to the system as they are, and who makes them: those that take what a
# caller gives slice it, the others have buffers of a few MiB.
MOVING = {"read", "write", "readv", "writev", "pread", "pwrite", "preadv", "pwritev", "sendfile", "copy_file_range"}
KNOWN = {
    "daemon.prefix_folder": {"write"},
    "store.disk.filesystem": {"write", "pwrite"},
    "store.disk.blobs": {"readv"},
    "store.hub.fetch.hasher": {"preadv"},
    "store.hub.fetch.partial": {"pread"},
    "daemon.engine.quantize.shards": {"pwrite"},
    "daemon.engine.prefix.disk.block_file": {"pread", "readv"},  # of one block: some megabytes
    "daemon.logs.sink": {"write"},
    "daemon.port_lock": {"read", "write"},
    "control.cli.process_end": {"read"},  # of the lock: a pid
}


class Refusing:
    """The write calls of a system that moves at most `limit` bytes at once; nothing is written, lengths are kept."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.lengths: list[int] = []

    def write(self, descriptor: int, data: memoryview) -> int:
        if len(data) > self.limit:
            raise OSError(errno.EINVAL, "Invalid argument")
        self.lengths.append(len(data))
        return len(data)

    def pwrite(self, descriptor: int, data: memoryview, offset: int) -> int:
        assert offset == sum(self.lengths)
        return self.write(descriptor, data)


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Refusing:
    system = Refusing(INT_MAX)
    monkeypatch.setattr(os, "write", system.write)
    monkeypatch.setattr(os, "pwrite", system.pwrite)
    return system


@pytest.fixture
def large() -> memoryview:
    """Five GiB of address space, of which no page is touched."""
    return memoryview(mmap.mmap(-1, 5 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)))


def test_a_large_write_goes_in_slices_of_a_gib(refusing: Refusing, large: memoryview) -> None:
    FileSystem().write(-1, large)
    assert refusing.lengths == [1 << 30] * 5
    refusing.lengths.clear()
    FileSystem().write_at(-1, large[:-1], 0)
    assert refusing.lengths == [1 << 30] * 4 + [(1 << 30) - 1]


def test_a_large_stack_of_experts_goes_in_slices_of_a_gib(refusing: Refusing, large: memoryview) -> None:
    shards.write(shards.Place(-1, 0), large)
    assert refusing.lengths == [1 << 30] * 5


def test_slices_hold_the_right_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a limit of seven bytes a call."""
    monkeypatch.setattr(filesystem, "LARGEST_CALL", 7)
    monkeypatch.setattr(shards, "LARGEST_WRITE", 7)
    data = bytes(range(100))
    for name in ("write", "write_at", "shards"):
        descriptor = os.open(tmp_path / name, os.O_RDWR | os.O_CREAT)
        if name == "write":
            FileSystem().write(descriptor, data)
        elif name == "write_at":
            FileSystem().write_at(descriptor, data, 3)
        else:
            shards.write(shards.Place(descriptor, 5), memoryview(data))
        os.close(descriptor)
    written = [(tmp_path / name).read_bytes() for name in ("write", "write_at", "shards")]
    assert written == [data, bytes(3) + data, bytes(5) + data]


def test_every_call_that_moves_bytes_is_known() -> None:
    """A new one has to be looked at: `os.pwrite` and its like hand their length to the system as it is."""
    found: dict[str, set[str]] = {}
    for name, path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            call = node.attr if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) else ""
            if call in MOVING and node.value.id == "os":  # type: ignore[attr-defined]
                found.setdefault(name, set()).add(call)
    assert found == KNOWN


def synced(monkeypatch: pytest.MonkeyPatch, refuse: int | None = None) -> list[str]:
    """macOS' two ways to sync, in the order they are used; the full one fails with `refuse`."""
    calls: list[str] = []

    def control(descriptor: int, command: int) -> int:
        assert command == F_FULLFSYNC
        calls.append("full")
        if refuse is not None:
            raise OSError(refuse, os.strerror(refuse))
        return 0

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", F_FULLFSYNC, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append("plain"))
    return calls


def test_a_folder_is_synced_as_a_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename that only reached the drive's cache is lost with the power; so is the name of a blob."""
    calls = synced(monkeypatch)
    FileSystem().sync_folder(tmp_path)
    assert calls == ["full"]


@pytest.mark.parametrize("code", [errno.ENOTSUP, errno.EINVAL, errno.ENOTTY])
def test_a_file_system_without_full_syncs_gets_plain_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    calls = synced(monkeypatch, code)
    FileSystem().sync_folder(tmp_path)
    assert calls == ["full", "plain"]


def test_a_sync_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        FileSystem().sync_folder(tmp_path)


def test_a_view_that_finder_has_opened_is_not_made_anew(store: Store, make_model: MakeModel) -> None:
    """Nor is the model listed twice for what Finder leaves among the refs."""
    model = store.pull_folder(make_model(files={"1_Pooling/config.json": {}}))
    view = store.view(model)
    inode = view.stat().st_ino
    (view / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (view / "1_Pooling" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    for ref in (store.directory / "refs").rglob("*"):
        if ref.is_dir():
            (ref / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    assert store.view(model) == view
    assert view.stat().st_ino == inode
    assert [one.name for one in store.models()] == [model.name]


def test_a_removed_name_leaves_no_folder_for_what_finder_left(store: Store, make_model: MakeModel) -> None:
    model = store.pull_folder(make_model())
    (store.directory / "refs" / model.name.owner / model.name.model / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    store.remove(model.name.display())
    assert not (store.directory / "refs" / model.name.owner / model.name.model).exists()


class Attributes:
    """macOS' setxattr, as far as it is called."""

    def __init__(self, result: int = 0) -> None:
        self.result = result
        self.calls: list[tuple[str, bytes, bytes]] = []

    def setxattr(self, path: bytes, name: bytes, value: Any, size: ctypes.c_size_t, position: Any, options: int) -> int:
        assert (position.value, options) == (0, 0)
        self.calls.append((os.fsdecode(path), name, value.raw[: size.value]))
        return self.result


def test_weights_stay_out_of_backups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole or not; names and settings are small and stay in. The value is what `tmutil addexclusion` writes."""
    attributes = Attributes()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: attributes)
    store = Store.open(tmp_path / "models")
    marked = {Path(path).name for path, _, _ in attributes.calls}
    assert marked == {"blobs", "partial"}
    assert {Path(path).parent for path, _, _ in attributes.calls} == {store.directory}
    assert {name for _, name, _ in attributes.calls} == {b"com.apple.metadata:com_apple_backup_excludeItem"}
    assert {plistlib.loads(value) for _, _, value in attributes.calls} == {"com.apple.backupd"}


def test_a_file_system_without_attributes_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not backups.exclude(tmp_path, Attributes(-1))
    assert backups.exclude(tmp_path, Attributes(0))


def test_elsewhere_nothing_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    attributes = Attributes()
    assert not backups.exclude(tmp_path, attributes)
    assert not attributes.calls
