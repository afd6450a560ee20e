"""What is kept of an unfinished download: by whom it may be written, what of it is believed, what a crash leaves."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlx_serve.store.disk.filesystem import FileSystem
from mlx_serve.store.errors import StoreError
from mlx_serve.store.hub.fetch.partial import Partial, allocated_bytes
from mlx_serve.store.hub.fetch.spans import Spans
from mlx_serve.store.hub.repository import HubFile
from mlx_serve.store.system import boot_id as boot

SIZE = 1000


def opened(folder: Path, size: int = SIZE) -> Partial:
    partial = Partial.open(folder, "key", size, FileSystem())
    assert partial is not None
    return partial


def write(partial: Partial, start: int, data: bytes) -> None:
    partial.write(partial.slot(start), start, memoryview(data))


def spans(folder: Path) -> list[tuple[int, int]]:
    partial = opened(folder)
    try:
        return list(partial.spans)
    finally:
        partial.close()


@pytest.mark.parametrize("seed", range(20))
def test_spans_are_a_set_of_positions(seed: int) -> None:
    """Against the plainest model there is."""
    chance = random.Random(seed)
    spans, model = Spans(), set[int]()
    for _ in range(30):
        start = chance.randrange(60)
        stop = start + chance.randrange(12)
        spans.add(start, stop)
        model |= set(range(start, stop))
        assert {position for start, stop in spans for position in range(start, stop)} == model
        assert spans.total == len(model)
        assert {p for start, stop in spans.gaps(50) for p in range(start, stop)} == set(range(50)) - model
        for position in range(60):
            reach = next(p for p in range(position, 100) if p not in model)
            assert spans.reach(position) == reach
        stops = [stop for _, stop in spans]
        assert all(a < b for a, (b, _) in zip(stops, list(spans)[1:], strict=False)), "neighbours are one"


def test_pieces_are_remembered_wherever_they_lie(tmp_path: Path) -> None:
    partial = opened(tmp_path)
    slot = partial.slot(500)
    partial.write(slot, 500, memoryview(b"a" * 100))
    write(partial, 0, b"b" * 10)
    partial.write(slot, 600, memoryview(b"c" * 50))
    partial.close()
    assert spans(tmp_path) == [(0, 10), (500, 650)]
    assert spans(tmp_path) == [(0, 10), (500, 650)]


def test_a_second_writer_gets_nothing_until_the_first_has_finished(tmp_path: Path) -> None:
    """Threads of one process exclude each other as processes do."""
    first = opened(tmp_path)
    assert Partial.open(tmp_path, "key", SIZE, FileSystem()) is None
    code = (
        "import sys; from pathlib import Path; from mlx_serve.store.disk.filesystem import FileSystem\n"
        "from mlx_serve.store.hub.fetch.partial import Partial\n"
        "print(Partial.open(Path(sys.argv[1]), 'key', 1000, FileSystem()))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
    first.close()
    opened(tmp_path).close()


def test_whoever_waited_for_a_file_that_became_a_blob_begins_a_new_one(tmp_path: Path) -> None:
    partial = opened(tmp_path)
    (tmp_path / "key.part").rename(tmp_path / "blob")
    fresh = opened(tmp_path)
    write(fresh, 0, b"new")
    assert (tmp_path / "blob").read_bytes() == b""
    partial.close()
    fresh.close()


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o777])
def test_nobody_else_may_read_it_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        opened(tmp_path).close()
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["link", "folder", "fifo", "twin"])
@pytest.mark.parametrize("name", ["key.part", "key.pieces"])
def test_what_is_no_file_of_ours_is_refused_and_not_followed(tmp_path: Path, kind: str, name: str) -> None:
    target = tmp_path / "precious"
    target.write_text("mine")
    if kind == "link":
        (tmp_path / name).symlink_to(target)
    elif kind == "folder":
        (tmp_path / name).mkdir()
    elif kind == "fifo":
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).hardlink_to(target)
    with pytest.raises(StoreError, match="was not written by the model store") as caught:
        Partial.open(tmp_path, "key", SIZE, FileSystem())
    assert "remove it" in (caught.value.hint or "")
    assert target.read_text() == "mine"
    # Nothing is held after the refusal.
    path = tmp_path / name
    path.rmdir() if kind == "folder" else path.unlink()
    opened(tmp_path).close()


def test_a_file_that_is_too_long_is_cut_and_one_that_is_too_short_believed_as_far_as_it_goes(tmp_path: Path) -> None:
    partial = opened(tmp_path)
    write(partial, 0, b"x" * SIZE)
    partial.close()
    path = tmp_path / "key.part"
    with path.open("ab") as file:
        file.write(b"more")
    assert spans(tmp_path) == [(0, SIZE)]
    assert path.stat().st_size == SIZE
    os.truncate(path, 400)
    assert spans(tmp_path) == [(0, 400)]


@pytest.mark.parametrize(
    "notes",
    [
        b"",
        b"x",
        b"\0" * 64,
        b"mlx-serve pieces" + struct.pack("<Q40s", SIZE + 1, b""),
        b"y" * 5000,
        None,
    ],
)
def test_notes_that_cannot_be_read_cost_the_bytes_and_nothing_else(tmp_path: Path, notes: bytes | None) -> None:
    partial = opened(tmp_path)
    write(partial, 0, b"x" * 100)
    partial.close()
    path = tmp_path / "key.pieces"
    path.unlink() if notes is None else path.write_bytes(notes)
    assert spans(tmp_path) == []
    partial = opened(tmp_path)
    write(partial, 5, b"z")
    partial.close()
    assert spans(tmp_path) == [(5, 6)]


def test_notes_cannot_promise_more_than_the_file_has(tmp_path: Path) -> None:
    partial = opened(tmp_path)
    write(partial, 0, b"x" * 100)
    partial.close()
    with (tmp_path / "key.pieces").open("r+b") as file:
        file.seek(64)
        file.write(struct.pack("<QQQ", 50, 1 << 62, 0) + struct.pack("<QQQ", 1 << 63, 5, 5) + b"torn")
    assert spans(tmp_path) == [(50, 100)]


def test_after_a_power_loss_only_what_was_synced_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process loses nothing, for the kernel has what it wrote; a machine that went down may."""
    partial = opened(tmp_path)
    slot = partial.slot(0)
    partial.write(slot, 0, memoryview(b"x" * 100))
    partial.sync()
    partial.write(slot, 100, memoryview(b"x" * 100))
    write(partial, 500, b"x" * 100)
    partial.close()
    notes = (tmp_path / "key.pieces").read_bytes()
    assert spans(tmp_path) == [(0, 200), (500, 600)]
    (tmp_path / "key.pieces").write_bytes(notes)
    monkeypatch.setattr(boot, "session", lambda: b"another")
    assert spans(tmp_path) == [(0, 100)]


def test_the_machine_says_when_it_was_started() -> None:
    assert len(boot.session()) in range(8, 41)
    assert boot.session() == boot.session()


def test_a_sync_that_comes_too_late_notes_nothing(tmp_path: Path) -> None:
    """It takes its time; meanwhile the file may have been begun again, stored or closed."""

    class Slow(FileSystem):
        meanwhile: Callable[[], object]

        def flush(self, descriptor: int) -> None:
            self.meanwhile()

    disk = Slow()
    partial = Partial.open(tmp_path, "key", SIZE, disk)
    assert partial is not None
    write(partial, 0, b"x" * 100)
    disk.meanwhile = lambda: (partial.clear(), partial.slot(0))
    partial.sync()
    write(partial, 0, b"x" * 100)
    disk.meanwhile = partial.close
    partial.sync()
    partial.sync()
    data = (tmp_path / "key.pieces").read_bytes()[64:]
    assert [struct.unpack_from("<QQQ", data, at) for at in (0, 24)] == [(0, 0, 0), (0, 100, 0)]


def test_the_room_that_is_taken_already_counts(tmp_path: Path) -> None:
    file = HubFile("model.safetensors", 1 << 20, "a" * 64, None)
    assert allocated_bytes(tmp_path, file) == 0
    (tmp_path / f"{'a' * 64}.part").write_bytes(b"x" * 100_000)
    assert 100_000 <= allocated_bytes(tmp_path, file) <= 1 << 20


def test_the_room_of_what_did_not_come_is_given_back(tmp_path: Path) -> None:
    """Who ends a pull of a large model does not find the disk full of nothing."""
    partial = opened(tmp_path, 50 << 20)
    partial.allocate()
    write(partial, 0, b"x" * 100)
    taken_meanwhile = (tmp_path / "key.part").stat().st_blocks * 512
    partial.close()
    status = (tmp_path / "key.part").stat()
    assert (status.st_size, status.st_blocks * 512 < 1 << 20) == (100, True)
    if sys.platform == "linux":
        assert taken_meanwhile in (4096, status.st_blocks * 512) or taken_meanwhile >= 50 << 20
