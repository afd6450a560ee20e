"""The only place that deletes blobs: mark from the refs, sweep the rest."""

from __future__ import annotations

import re
import stat
from collections.abc import Collection
from dataclasses import dataclass

from ..errors import DamagedModel, StoreError
from .blobs import Blobs
from .filesystem import PERMANENT_ERRORS, FileSystem, read_regular
from .leftovers import Leftovers
from .manifests import Manifests
from .pins import Pins
from .refs import Refs
from .views import Views

_SALVAGE_LIMIT = 16 << 20
_DIGEST = re.compile(rb"sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Collected:
    """How many blobs were (or would be) deleted, their bytes, and how many unfinished files."""

    blobs: int
    bytes: int
    partials: int


@dataclass(frozen=True)
class Collector:
    """Sweeps one store. The caller holds the store's lock: exclusive, or shared for a dry run."""

    disk: FileSystem
    leftovers: Leftovers
    blobs: Blobs
    manifests: Manifests
    refs: Refs
    views: Views
    pins: Pins

    def run(self, protect: Collection[str] = (), *, dry_run: bool = False) -> Collected:
        """`protect`: manifests (hex) to keep with their files although no ref names them, for models in memory."""
        roots = set(protect)
        for ref in self.refs.all():
            if ref.transient:
                raise StoreError(f"the name {ref.name.display()} cannot be read ({ref.problem}); nothing was removed")
            if ref.problem is None:
                roots.add(ref.hex)
        partials = self.leftovers.expired(reset_clocks=not dry_run)
        # No temporary file is in use under the exclusive lock; during a dry run one may be.
        taken = {path for paths in partials for path in paths}
        abandoned = [] if dry_run else [path for path in self.leftovers.abandoned() if path not in taken]
        kept = self._mark(roots) | self.pins.all()
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
            for paths in (*partials, abandoned):
                self.leftovers.remove(paths)
            self.leftovers.remove(self.views.stale(roots))
            if count:
                self.disk.sync_folder(self.blobs.folder)
            self.manifests.forget(roots)
            self.blobs.fingerprints.save()
        return Collected(count, size, len(partials) + len(abandoned))

    def _mark(self, roots: set[str]) -> set[str]:
        marked = set(roots)
        for root in roots:
            try:
                marked |= {layer.hex for layer in self.manifests.get(root).layers}
            except DamagedModel:
                # The digests that a damaged manifest still names are kept for a repair.
                marked |= self._salvage(root)
        return marked

    def _salvage(self, root: str) -> set[str]:
        try:
            data = read_regular(self.blobs.path(root), _SALVAGE_LIMIT)
        except DamagedModel:
            return set()
        except OSError as error:
            if error.errno in PERMANENT_ERRORS:
                return set()
            raise
        return {match.decode() for match in _DIGEST.findall(data)}
