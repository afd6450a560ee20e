"""Weights are asked for while a child is not ready, in parts, and no longer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.waiting import GUARD, wait_until

from mlx_serve.daemon.workers import read_ahead as module
from mlx_serve.daemon.workers.read_ahead import PART, read_ahead


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, size in (("b.safetensors", 10), ("a.safetensors", 2 * PART + 1), ("tokenizer.json", 5)):
        with open(tmp_path / name, "wb") as file:
            file.truncate(size)
    return tmp_path


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "read ahead"]


def noting(asked: list[tuple[str, int, int]], meanwhile: Callable[[], object]) -> Callable[[int, int, int], None]:
    def advise(descriptor: int, offset: int, length: int) -> None:
        asked.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, offset, length))
        meanwhile()

    return advise


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="it asks Linux which file a descriptor stands for")
def test_every_part_of_every_weight_file(folder: Path) -> None:
    asked: list[tuple[str, int, int]] = []
    with read_ahead(folder, noting(asked, lambda: None)):
        wait_until(lambda: not threads(), "the end of reading ahead")
    parts = [("a.safetensors", place * PART, PART) for place in range(3)]
    assert asked == [*parts, ("b.safetensors", 0, PART)]


def test_nothing_is_asked_for_once_the_child_is_ready(folder: Path) -> None:
    """The part that is being asked for is the last one."""
    begun, go_on, asked = threading.Event(), threading.Event(), []

    def advise(descriptor: int, offset: int, length: int) -> None:
        asked.append(offset)
        begun.set()
        assert go_on.wait(GUARD)

    with read_ahead(folder, advise):
        assert begun.wait(GUARD)
    go_on.set()
    wait_until(lambda: not threads(), "the end of reading ahead")
    assert asked == [0]


def test_where_the_system_takes_no_advice_there_is_no_thread(folder: Path) -> None:
    with read_ahead(folder, None):
        assert not threads()


def test_a_folder_that_is_gone_is_for_the_child_to_report(tmp_path: Path) -> None:
    with read_ahead(tmp_path / "gone", noting([], lambda: None)):
        wait_until(lambda: not threads(), "the end of reading ahead")


@pytest.mark.skipif(module.ADVISE is None, reason="this system takes no such advice")
def test_the_system_takes_it(folder: Path) -> None:
    with read_ahead(folder):
        wait_until(lambda: not threads(), "the end of reading ahead")
