"""Reads stored bytes again, all of them or those of files that have changed, and reports damage; deletes nothing."""

from __future__ import annotations

import logging
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from ..errors import DamagedModel
from ..names import Name
from .blobs import Blobs
from .locks import Lock
from .manifests import Manifest, Manifests
from .refs import Ref, Refs

log = logging.getLogger("mlx_serve.store")


@dataclass(frozen=True)
class Verified:
    """A verified file. `name` is None for a file that no model names; bytes are counted over the whole run."""

    name: str | None
    path: str
    digest: str
    done_bytes: int
    total_bytes: int
    ok: bool
    problem: str | None


@dataclass(frozen=True)
class _Check:
    ref: Ref | None
    path: str
    hex: str
    size: int
    problem: str | None = None


@dataclass(frozen=True)
class Verifier:
    """Verifies one store. The lock is taken file by file, so that an unfinished run does not block a sweep."""

    blobs: Blobs
    manifests: Manifests
    refs: Refs
    lock: Lock

    def run(self, chosen: Sequence[Ref] | None, report: Callable[[int, int], None]) -> Iterator[Verified]:
        """`chosen`: the models to verify; None: all of them and the files that no model names.

        `report` gets the bytes done and the total while a file is read.
        """
        try:
            yield from self._run(list(self._checks(chosen)), report)
        finally:
            self.blobs.fingerprints.save()

    def check(self, name: Name, manifest: Manifest) -> None:
        """Hash those of a model's files that have changed since they were last hashed. Missing files are left to
        `Views.get` to report. Raises DamagedModel."""
        changed = [layer for layer in manifest.layers if not self.blobs.is_unchanged(layer.hex)]
        if not changed or any(self.blobs.state(layer.hex, layer.size) for layer in changed):
            return
        log.info(
            "hash files model=%s files=%d bytes=%d reason=not hashed yet, or changed since",
            name.display(),
            len(changed),
            sum(layer.size for layer in changed),
        )
        for layer in changed:
            with self.lock.shared():
                problem = self.blobs.problem_if_changed(layer.hex, layer.size)
            if problem is not None:
                raise DamagedModel(
                    f"the model is damaged: {layer.path} {problem}",
                    hint="pull the model again to repair it; `mlx-serve verify` names every damaged file",
                )
        self.blobs.fingerprints.save()

    def _run(self, checks: Sequence[_Check], report: Callable[[int, int], None]) -> Iterator[Verified]:
        total = sum(check.size for check in checks)
        done = 0
        for check in checks:
            before, done = done, done + check.size
            with self.lock.shared():
                if self._is_gone(check):
                    continue
                problem = check.problem or self.blobs.problem(
                    check.hex, check.size, partial(_add, report, before, total)
                )
            yield Verified(
                check.ref.name.display() if check.ref else None,
                check.path,
                f"sha256:{check.hex}" if check.hex else "",
                done,
                total,
                problem is None,
                problem,
            )

    def _checks(self, chosen: Sequence[Ref] | None) -> Iterator[_Check]:
        seen: set[str] = set()
        for ref in self.refs.all() if chosen is None else chosen:
            if ref.problem is not None:
                yield _Check(ref, "ref", "", 0, f"the name is damaged: {ref.problem}")
                continue
            if ref.hex in seen:
                continue
            seen.add(ref.hex)
            try:
                # Read from disk, not from the cache.
                self.manifests.forget(set())
                manifest = self.manifests.get(ref.hex)
            except DamagedModel as error:
                yield _Check(ref, "manifest", ref.hex, 0, str(error))
                continue
            for layer in manifest.layers:
                if layer.hex not in seen:
                    seen.add(layer.hex)
                    yield _Check(ref, layer.path, layer.hex, layer.size)
        if chosen is None:
            for hex_digest, status in list(self.blobs.entries()):
                if hex_digest not in seen:
                    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
                    yield _Check(None, f"sha256-{hex_digest}", hex_digest, size)

    def _is_gone(self, check: _Check) -> bool:
        """Whether the file was removed by a user or a sweep since the run began."""
        if check.ref is None:
            return self.blobs.state(check.hex, check.size) == "is missing"
        now = self.refs.get(check.ref.name)
        return now is None or (check.ref.problem is None and now.hex != check.ref.hex)


def _add(report: Callable[[int, int], None], before: int, total: int, count: int) -> None:
    report(before + count, total)
