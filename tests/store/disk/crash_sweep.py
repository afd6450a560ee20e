"""Kills a process at every step of one piece of the store's work and checks what is left. A program of its own.

usage: crash_sweep.py WORK FOLDER FIRST-MODEL SECOND-MODEL [HUB [DEADLY]]
It forks without threads, so that a sweep of fifty kills costs about a second; where it may not, each kill is this
program again, which does the work up to the step number DEADLY. HUB: the address of the hub that has the second model
as local/second, for WORK "hub", where the threads of a download are killed with their process.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from huggingface_hub import HfApi

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from support.forking import MAY_FORK

from mlx_serve.store.disk.filesystem import FileSystem
from mlx_serve.store.hub.repository import HubFile, Repository
from mlx_serve.store.ingest import hub_pull
from mlx_serve.store.store import Store


class QuickDisk(FileSystem):
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

    def write_at(self, descriptor: int, data: bytes | bytearray | memoryview, position: int) -> None:
        half = len(data) // 2
        super().write_at(descriptor, memoryview(data)[:half], position)
        self.point()
        super().write_at(descriptor, memoryview(data)[half:], position + half)

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
    code = forked(deadly, work) if MAY_FORK else subprocess.call([sys.executable, *again(deadly)])
    if code not in (0, -signal.SIGKILL):
        raise AssertionError(f"kill {deadly}: the work failed by itself")
    return code == 0


def forked(deadly: int, work: Callable[[QuickDisk], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work(MortalDisk(deadly))
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def again(deadly: int) -> list[str]:
    """This program's arguments with a deadly step."""
    given = sys.argv[:6]
    return [*given, *[""] * (6 - len(given)), str(deadly)]


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


def content(directory: Path, *sources: Path) -> set[str]:
    """Unfinished downloads, and those blobs that are files of the models; a manifest without a name may go."""
    wanted = {hashlib.sha256(path.read_bytes()).hexdigest() for source in sources for path in source.iterdir()}
    blobs = {path.name for path in (directory / "blobs").iterdir() if path.name.removeprefix("sha256-") in wanted}
    return blobs | {path.name for path in (directory / "partial").iterdir()}


def known(second: Path) -> Repository:
    """What a listing of the hub would say; asking it anew each time would take longer than all the rest."""
    files = []
    for path in sorted(second.iterdir()):
        data = path.read_bytes()
        large = path.suffix == ".safetensors"
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        digest = hashlib.sha256(data).hexdigest()
        files.append(HubFile(path.name, len(data), digest if large else None, None if large else git))
    return Repository("local/second", "", tuple(files))


def main(work: str, folder: Path, first: Path, second: Path, hub: str = "", deadly: str = "") -> int:
    if work == "hub":
        commit = HfApi(endpoint=hub, token=False).model_info("local/second").sha
        listed = replace(known(second), commit=str(commit))
        hub_pull.list_repository = lambda *args, **more: listed  # type: ignore[assignment]
        os.environ |= {"HF_ENDPOINT": hub, "HF_HOME": str(folder / "hf")}
    before = {path: path.read_bytes() for source in (first, second) for path in source.iterdir()}
    template, directory = folder / "template", folder / "models"
    if work != "open" and not deadly:
        store = Store.open(template, disk=QuickDisk())
        if work != "pull":
            store.pull_folder(first)
        if work not in ("pull", "hub"):
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
        if work == "hub":
            return store.pull("local/second")
        if work == "update":
            return store.pull_folder(second, name="first")
        if work == "remove":
            return store.remove("second")
        if work == "gc":
            return store.gc()
        return store.copy("first", "new/copy")

    if deadly:
        doing(MortalDisk(int(deadly)))
        return 0
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
        leftovers = {path.suffix for path in (directory / "partial").iterdir()}
        allowed = {".part", ".pieces", ".promised"} if work == "hub" else set()
        check(leftovers <= allowed, f"kill {kills}: leftovers {leftovers}")
        left = whole(store)
        if work == "hub":
            # What is there can be resumed, and no sweep takes it.
            kept = content(directory, first, second)
            store.gc()
            check(kept == content(directory, first, second), f"kill {kills}: gc took what a pull had brought")
        untouched = {name: digest for name, digest in old.items() if name != "local/second"}
        if work == "update":
            check(set(left) == set(old), f"kill {kills}: {left}")
        else:
            check(untouched.items() <= left.items(), f"kill {kills}: {left}")
        # The same work again finishes it.
        if work != "remove" or "local/second" in left:
            doing(QuickDisk())
        store.gc()
        check(not list((directory / "partial").iterdir()), f"kill {kills}: leftovers at the end")
        expected = {
            "pull": {"local/first"}, "update": {"local/first", "local/second"}, "remove": {"local/first"},
            "hub": {"local/first", "local/second"},
            "gc": {"local/first"}, "copy": {"local/first", "local/second", "new/copy"}, "open": set(),
        }[work]  # fmt: skip
        check(set(whole(store)) == expected, f"kill {kills}: {whole(store)} after the second try")
        check(all(file.name for file in store.verify()), f"kill {kills}: unnamed files after gc")
    check(all(path.read_bytes() == data for path, data in before.items()), "a source was changed")
    print(json.dumps({"kills": kills}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *(Path(argument) for argument in sys.argv[2:5]), *sys.argv[5:]))
