"""Who excludes whom in one store, and what becomes of the system's errors."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mlx_serve.store.disk.filesystem import FileSystem
from mlx_serve.store.disk.fingerprints import Fingerprints
from mlx_serve.store.disk.locks import Lock
from mlx_serve.store.errors import NoSpace, ReadOnlyStore, StoreBusy, StoreError
from mlx_serve.store.store_access import StoreAccess


def access_to(folder: Path, *, read_only: bool = False) -> StoreAccess:
    lock = Lock(folder / "lock")
    lock.create()
    fingerprints = Fingerprints(folder / "fingerprints", folder)
    return StoreAccess(folder, read_only, FileSystem(), lock, fingerprints)


def test_readers_and_writers_exclude_only_sweeps(tmp_path: Path) -> None:
    access = access_to(tmp_path)
    with access.reading("read"), access.changing("write"), pytest.raises(StoreBusy):
        access.sweeping("sweep", 0).__enter__()
    with access.sweeping("sweep", 0), pytest.raises(StoreBusy), access.lock.shared(0):
        pass


def test_a_look_waits_for_no_sweep(tmp_path: Path) -> None:
    access = access_to(tmp_path)
    with access.sweeping("sweep", 0), access.looking("look"):
        pass


def test_nobody_writes_to_a_store_that_is_read_only(tmp_path: Path) -> None:
    access = access_to(tmp_path, read_only=True)
    with access.reading("read"):
        for use in (access.changing("write"), access.sweeping("sweep", 0)):
            with pytest.raises(ReadOnlyStore):
                use.__enter__()


@pytest.mark.parametrize("use", ["looking", "reading", "changing"])
def test_errors_of_the_system_become_the_stores(tmp_path: Path, use: str) -> None:
    access = access_to(tmp_path)
    with pytest.raises(NoSpace), getattr(access, use)("write"):
        raise OSError(errno.ENOSPC, "no space")
    with pytest.raises(StoreError, match=r"^could not write: broken \(EIO\)$"), getattr(access, use)("write"):
        raise OSError(errno.EIO, "broken")


def test_the_fingerprints_of_a_change_that_fails_are_kept(tmp_path: Path) -> None:
    """Another process need not hash again what was hashed before the failure."""
    access = access_to(tmp_path)
    file = tmp_path / "file"
    file.write_bytes(b"content")
    with pytest.raises(StoreError), access.changing("write"):
        access.fingerprints.remember("0" * 64, file.stat())
        raise OSError(errno.EIO, "broken")
    assert Fingerprints(tmp_path / "fingerprints", tmp_path).fits("0" * 64, file.stat())
