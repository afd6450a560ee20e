"""A disk that is full or fails while a download writes."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest
from fakes.hub import faults
from support.hub_pulls import MB, WEIGHTS, Files, Offer, partial, sent, weights

from mlx_serve.store.disk.filesystem import FileSystem
from mlx_serve.store.errors import NoSpace, StoreError
from mlx_serve.store.store import Store


class FailingWrites(FileSystem):
    """Has room for so many bytes of weights; `code` is what it says then."""

    def __init__(self, room: int, code: int) -> None:
        self.room = room
        self.code = code

    def write_at(self, descriptor: int, data: bytes | bytearray | memoryview, position: int) -> None:
        if len(data) > 1000:
            self.room -= len(data)
            if self.room < 0:
                raise OSError(self.code, os.strerror(self.code))
        super().write_at(descriptor, data, position)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
def test_a_disk_that_fails_midway_keeps_what_is_there(tmp_path: Path, offer: Offer, files: Files, code: int) -> None:
    hub = offer(files)
    store = Store.open(tmp_path / "models", disk=FailingWrites(8 * MB, code))
    with pytest.raises(NoSpace if code in (errno.ENOSPC, errno.EDQUOT) else StoreError) as caught:
        store.pull("owner/name")
    if isinstance(caught.value, NoSpace):
        assert caught.value.needed in range(4 * MB, 13 * MB)
    else:
        assert errno.errorcode[code] in str(caught.value)
    hub.journal.clear()
    again = Store.open(tmp_path / "models")
    again.pull("owner/name")
    assert weights(again) == files[WEIGHTS]
    assert sent(hub) <= len(files[WEIGHTS]) - 3 * MB


def test_room_is_taken_before_the_first_byte_comes(tmp_path: Path, offer: Offer, files: Files) -> None:
    class Full(FileSystem):
        def allocate(self, descriptor: int, size: int) -> None:
            if size > MB:
                raise OSError(errno.ENOSPC, "No space left on device")

    hub = offer(files)
    store = Store.open(tmp_path / "models", disk=Full())
    with pytest.raises(NoSpace):
        store.pull("owner/name")
    assert sent(hub) == 0


def test_allocating_keeps_the_length_and_promises_the_room(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        FileSystem().allocate(descriptor, MB)
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    assert status.st_size == 0
    assert status.st_blocks * 512 in (0, MB) or status.st_blocks * 512 > MB


@pytest.mark.parametrize("call", ["sync", "flush"])
def test_after_a_failed_sync_the_file_is_dropped(
    tmp_path: Path, offer: Offer, files: Files, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the kernel failed to write may be gone although a second sync says all is well."""
    from mlx_serve.store.hub.fetch import syncer

    monkeypatch.setattr(syncer, "_SYNC_BYTES", MB)
    monkeypatch.setattr(syncer, "_POLL_SECONDS", 0.001)

    class NoSync(FileSystem):
        def fail(self, descriptor: int) -> None:
            if os.fstat(descriptor).st_size > MB:
                raise OSError(errno.EIO, "Input/output error")

    setattr(NoSync, call, NoSync.fail)
    hub = offer(files, faults.drip(60 * MB, times=None))
    store = Store.open(tmp_path / "models", disk=NoSync())
    with pytest.raises(StoreError, match="EIO"):
        store.pull("owner/name")
    assert not partial(store, files).exists()
    assert not (store.directory / "blobs" / f"sha256-{hashlib.sha256(files[WEIGHTS]).hexdigest()}").exists()
    hub.heal()
    again = Store.open(tmp_path / "models")
    again.pull("owner/name")
    assert weights(again) == files[WEIGHTS]
