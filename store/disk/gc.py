"""The only place that deletes blobs: mark from the refs, sweep the rest."""

from __future__ import annotations

import re
import stat
from collections.abc import Collection
from dataclasses import dataclass

from ..errors import DamagedModel, StoreError
from .blobs import Blobs
from .filesystem import LASTING, Disk, read_regular
from .leftovers import Leftovers
from .manifests import Manifests
from .pins import Promised
from .refs import Refs
from .views import Views

_SALVAGE_LIMIT = 16 << 20
_DIGEST = re.compile(rb"sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Collected:
    """How many blobs went (or would go), their bytes, and how many unfinished files."""

    blobs: int
    bytes: int
    partials: int


@dataclass(frozen=True)
class Collector:
    """One sweep of one store. Whoever calls `run` holds the store's lock: exclusive, or shared for a dry run."""

    disk: Disk
    leftovers: Leftovers
    blobs: Blobs
    manifests: Manifests
    refs: Refs
    views: Views
    promised: Promised

    def run(self, protect: Collection[str] = (), *, dry_run: bool = False) -> Collected:
        """`protect`: manifests (hex) to keep with their files although nothing names them, for models in memory."""
        roots = set(protect)
        for ref in self.refs.all():
            if ref.unsure:
                raise StoreError(f"the name {ref.name.display()} cannot be read ({ref.problem}); nothing was removed")
            if ref.problem is None:
                roots.add(ref.hex)
        partials = self.leftovers.old(settle=not dry_run)
        # Under the exclusive lock nobody writes a temporary file; under the shared one somebody may.
        taken = {path for paths in partials for path in paths}
        dead = [] if dry_run else [path for path in self.leftovers.dead() if path not in taken]
        kept = self._mark(roots) | self.promised.all()
        count = size = 0
        for hex_digest, status in list(self.blobs.entries()):
            if hex_digest in kept or stat.S_ISDIR(status.st_mode):
                continue
            if not dry_run:
                self.disk.unlink(self.blobs.path(hex_digest))
                self.blobs.fingerprints.forget(hex_digest)
            count += 1
            size += status.st_size if stat.S_ISREG(status.st_mode) else 0
        if not dry_run:
            for paths in (*partials, dead):
                self.leftovers.remove(paths)
            self.leftovers.remove(self.views.stale(roots))
            if count:
                self.disk.sync_folder(self.blobs.folder)
            self.manifests.forget(roots)
            self.blobs.fingerprints.save()
        return Collected(count, size, len(partials) + len(dead))

    def _mark(self, roots: set[str]) -> set[str]:
        marked = set(roots)
        for root in roots:
            try:
                marked |= {layer.hex for layer in self.manifests.get(root).layers}
            except DamagedModel:
                # What a damaged manifest still names may be all that a repair needs.
                marked |= self._salvage(root)
        return marked

    def _salvage(self, root: str) -> set[str]:
        try:
            data = read_regular(self.blobs.path(root), _SALVAGE_LIMIT)
        except DamagedModel:
            return set()
        except OSError as error:
            if error.errno in LASTING:
                return set()
            raise
        return {match.decode() for match in _DIGEST.findall(data)}
