"""Reads every stored byte again and says what is damaged; deletes nothing."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from ..errors import DamagedModel
from .blobs import Blobs
from .locks import Lock
from .manifests import Manifests
from .refs import Ref, Refs


@dataclass(frozen=True)
class Verified:
    """One file after it was read. `name` is None for a file that no model names; bytes count over the whole run."""

    name: str | None
    path: str
    digest: str
    done_bytes: int
    total_bytes: int
    ok: bool
    problem: str | None


@dataclass(frozen=True)
class _Task:
    ref: Ref | None
    path: str
    hex: str
    size: int
    problem: str | None = None


@dataclass(frozen=True)
class Verifier:
    """One check of one store. The lock is held file by file, so that an abandoned check blocks nobody."""

    blobs: Blobs
    manifests: Manifests
    refs: Refs
    lock: Lock

    def run(self, chosen: Sequence[Ref] | None, tell: Callable[[int, int], None]) -> Iterator[Verified]:
        """`chosen`: the models to check; None: all of them and the files that no model names.

        `tell` gets the bytes done of all bytes while a file is read.
        """
        tasks = list(self._tasks(chosen))
        total = sum(task.size for task in tasks)
        done = 0
        for task in tasks:
            before, done = done, done + task.size
            with self.lock.shared():
                if self._is_gone(task):
                    continue
                problem = task.problem or self.blobs.problem(task.hex, task.size, partial(_add, tell, before, total))
            yield Verified(
                task.ref.name.display() if task.ref else None,
                task.path,
                f"sha256:{task.hex}" if task.hex else "",
                done,
                total,
                problem is None,
                problem,
            )

    def _tasks(self, chosen: Sequence[Ref] | None) -> Iterator[_Task]:
        seen: set[str] = set()
        for ref in self.refs.all() if chosen is None else chosen:
            if ref.problem is not None:
                yield _Task(ref, "ref", "", 0, f"the name is damaged: {ref.problem}")
                continue
            if ref.hex in seen:
                continue
            seen.add(ref.hex)
            try:
                # Not from memory: the file itself is in question.
                self.manifests.forget(set())
                manifest = self.manifests.get(ref.hex)
            except DamagedModel as error:
                yield _Task(ref, "manifest", ref.hex, 0, str(error))
                continue
            for layer in manifest.layers:
                if layer.hex not in seen:
                    seen.add(layer.hex)
                    yield _Task(ref, layer.path, layer.hex, layer.size)
        if chosen is None:
            for hex_digest, status in list(self.blobs.entries()):
                if hex_digest not in seen:
                    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
                    yield _Task(None, f"sha256-{hex_digest}", hex_digest, size)

    def _is_gone(self, task: _Task) -> bool:
        """Whether the file was removed on purpose since the run began."""
        if task.ref is None:
            return self.blobs.state(task.hex, task.size) == "is missing"
        now = self.refs.get(task.ref.name)
        return now is None or (task.ref.problem is None and now.hex != task.ref.hex)


def _add(tell: Callable[[int, int], None], before: int, total: int, count: int) -> None:
    tell(before + count, total)
