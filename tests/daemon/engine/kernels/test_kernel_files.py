"""Kernels on disk: whole ones, by nobody else, of this version, and not too many."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mlx_serve.daemon.engine.kernels import kernel_files
from mlx_serve.daemon.engine.kernels.kernel_files import KernelFiles, folder_name

LIBRARY = b"\x7fELF, or so"


@pytest.fixture
def files(tmp_path: Path) -> KernelFiles:
    files = KernelFiles(tmp_path / "home" / "cache" / "kernels", folder_name("0.0.2"))
    with files.alone():
        files.publish("one", LIBRARY)
    return files


def stored(files: KernelFiles) -> Path:
    return files.folder / "one.so"


def test_what_is_published_is_read_and_private(files: KernelFiles) -> None:
    assert files.read("one") == LIBRARY
    assert files.read("another") is None
    assert {path.stat().st_mode & 0o777 for path in (files.folder, files.folder.parent)} == {0o700}
    assert stored(files).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("length", [0, 5, 31, 32, len(LIBRARY) + 31])
def test_a_file_that_is_not_whole_is_not_read(files: KernelFiles, length: int) -> None:
    """As after a disk that was full, or a machine that lost its power."""
    stored(files).write_bytes(stored(files).read_bytes()[:length])
    assert files.read("one") is None
    with files.alone():
        files.publish("one", LIBRARY)
    assert files.read("one") == LIBRARY


def test_a_changed_byte_is_noticed(files: KernelFiles) -> None:
    stored(files).write_bytes(b"X" + stored(files).read_bytes()[1:])
    assert files.read("one") is None


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_what_others_may_write_is_not_read_nor_written(files: KernelFiles, mode: int) -> None:
    for path in (files.folder, files.folder.parent):
        path.chmod(mode)
        assert files.read("one") is None
        with pytest.raises(PermissionError, match="its owner alone"), files.alone():
            pass
        path.chmod(0o700)
    stored(files).chmod(mode)
    assert files.read("one") is None


def test_links_are_not_followed(files: KernelFiles, tmp_path: Path) -> None:
    stored(files).rename(tmp_path / "elsewhere")
    stored(files).symlink_to(tmp_path / "elsewhere")
    assert files.read("one") is None
    (tmp_path / "elsewhere").rename(stored(files))
    assert files.read("one") == LIBRARY
    files.folder.rename(tmp_path / "moved")
    files.folder.symlink_to(tmp_path / "moved")
    assert files.read("one") is None


def test_another_version_of_mlx_sweeps_and_another_machine_does_not(files: KernelFiles) -> None:
    """A home may be on the network; and what a killed process has left goes too."""
    root = files.folder.parent
    (root / "0.0.2-riscv-glibc-2.99").mkdir()
    (files.folder / "left.part").write_bytes(b"half")
    with files.alone():
        files.publish("two", LIBRARY)
    assert {path.name for path in files.folder.iterdir()} == {"one.so", "two.so"}
    newer = KernelFiles(root, folder_name("0.0.3"))
    assert newer.read("one") is None
    with newer.alone():
        newer.publish("one", LIBRARY)
    assert {path.name for path in root.iterdir()} == {"lock", newer.folder.name}


def test_those_unused_for_the_longest_time_make_room(files: KernelFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    with files.alone():
        for place, name in enumerate(("two", "three")):
            files.publish(name, LIBRARY)
            os.utime(files.folder / f"{name}.so", (place, place))
        monkeypatch.setattr(kernel_files, "MOST_FILES", 3)
        assert files.read("two") is not None, "which is a use"
        files.publish("four", LIBRARY)
        assert {path.stem for path in files.folder.iterdir()} == {"one", "two", "four"}
        monkeypatch.setattr(kernel_files, "MOST_BYTES", 2 * stored(files).stat().st_size)
        files.publish("five", LIBRARY)
        assert len(list(files.folder.iterdir())) == 2 and files.read("five")


def test_nothing_half_is_left_where_the_disk_is_full(files: KernelFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), files.alone():
        files.publish("two", LIBRARY)
    assert [path.name for path in files.folder.iterdir()] == ["one.so"]


def test_one_waits_for_the_other(files: KernelFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_files, "LOCK_SECONDS", 0.001)
    order = []

    def second() -> None:
        with KernelFiles(files.folder.parent, files.folder.name).alone():
            order.append("second")

    thread = threading.Thread(target=second)
    with files.alone():
        thread.start()
        thread.join(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_kernels_are_for_one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A home may be on the network, and code for another processor would end the process."""
    monkeypatch.setattr(kernel_files, "instruction_sets", lambda: frozenset({"avx2"}))
    one = folder_name("0.0.2")
    monkeypatch.setattr(kernel_files, "instruction_sets", lambda: frozenset({"avx2", "avx512f"}))
    assert folder_name("0.0.2") != one
