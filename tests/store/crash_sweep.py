"""Kills a process at every step of one piece of the store's work and checks what is left. A program of its own.

usage: crash_sweep.py WORK FOLDER FIRST-MODEL SECOND-MODEL
It forks without threads, so that a sweep of fifty kills costs about a second.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from mlx_serve.store.disk import Disk
from mlx_serve.store.store import Store


class QuickDisk(Disk):
    """Without syncs: what a process has written survives its death, and only a power loss needs them."""

    def sync(self, descriptor: int) -> None:
        os.fstat(descriptor)

    def sync_folder(self, folder: Path) -> None:
        folder.stat()

    def begin(self) -> None:
        """From here on it counts."""


class MortalDisk(QuickDisk):
    """Kills its process at the n-th point; there are points before and after every step, and inside a write."""

    def __init__(self, deadly: int) -> None:
        self.deadly = deadly
        self.left = 0

    def begin(self) -> None:
        self.left = self.deadly

    def point(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> None:
        half = len(data) // 2
        super().write(descriptor, memoryview(data)[:half])
        self.point()
        super().write(descriptor, memoryview(data)[half:])

    def sync(self, descriptor: int) -> None:
        self.point()
        super().sync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        self.point()
        super().sync_folder(folder)

    def rename(self, source: Path, target: Path) -> None:
        self.point()
        super().rename(source, target)
        self.point()

    def unlink(self, path: Path) -> None:
        self.point()
        super().unlink(path)
        self.point()

    def make_folder(self, path: Path) -> None:
        self.point()
        super().make_folder(path)
        self.point()


def survives(deadly: int, work: Callable[[QuickDisk], object]) -> bool:
    """Whether the work was done before the n-th point. Raises when it failed in any other way than by the kill."""
    child = os.fork()
    if child == 0:
        try:
            work(MortalDisk(deadly))
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if os.waitstatus_to_exitcode(status) != 0:
        raise AssertionError(f"kill {deadly}: the work failed by itself")
    return True


def check(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def whole(store: Store) -> dict[str, str]:
    """Name -> digest of every model, each verified to the last byte."""
    for file in store.verify():
        check(file.ok, f"{file.name} {file.path} {file.problem}")
    for model in store.models():
        store.view(model)
    return {model.name.display(): model.digest for model in store.models()}


def main(work: str, folder: Path, first: Path, second: Path) -> int:
    before = {path: path.read_bytes() for source in (first, second) for path in source.iterdir()}
    template, directory = folder / "template", folder / "models"
    if work != "open":
        store = Store.open(template, disk=QuickDisk())
        if work != "pull":
            store.pull_folder(first)
            store.pull_folder(second)
        if work == "gc":
            shutil.rmtree(template / "refs/local/second")

    def doing(disk: QuickDisk) -> object:
        if work == "open":
            disk.begin()
            return Store.open(directory, disk=disk)
        store = Store.open(directory, disk=disk)
        disk.begin()
        if work == "pull":
            return store.pull_folder(first)
        if work == "update":
            return store.pull_folder(second, name="first")
        if work == "remove":
            return store.remove("second")
        if work == "gc":
            return store.gc()
        return store.copy("first", "new/copy")

    old = whole(Store.open(template)) if work != "open" else {}
    kills = 0
    while True:
        shutil.rmtree(directory, ignore_errors=True)
        if work != "open":
            shutil.copytree(template, directory, symlinks=True)
        if survives(kills + 1, doing):
            break
        kills += 1
        store = Store.open(directory)
        check(not list((directory / "partial").iterdir()), f"kill {kills}: leftovers")
        left = whole(store)
        untouched = {name: digest for name, digest in old.items() if name != "local/second"}
        if work == "update":
            check(set(left) == set(old), f"kill {kills}: {left}")
        else:
            check(untouched.items() <= left.items(), f"kill {kills}: {left}")
        # The same work again finishes it.
        if work != "remove" or "local/second" in left:
            doing(QuickDisk())
        store.gc()
        expected = {
            "pull": {"local/first"}, "update": {"local/first", "local/second"}, "remove": {"local/first"},
            "gc": {"local/first"}, "copy": {"local/first", "local/second", "new/copy"}, "open": set(),
        }[work]  # fmt: skip
        check(set(whole(store)) == expected, f"kill {kills}: {whole(store)} after the second try")
        check(all(file.name for file in store.verify()), f"kill {kills}: unnamed files after gc")
    check(all(path.read_bytes() == data for path, data in before.items()), "a source was changed")
    print(json.dumps({"kills": kills}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *(Path(argument) for argument in sys.argv[2:])))
