"""What callers of the store get: an installed model, and a removed one."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from .disk.manifests import Manifest, Overrides
from .names import Name


@dataclass(frozen=True)
class Installed:
    """A model with its name. `digest` is the manifest's (64 hex), `size` the bytes of all files."""

    name: Name
    digest: str
    manifest: Manifest
    modified: datetime.datetime
    size: int

    @property
    def base(self) -> str:
        """The manifest (hex) that the files belong to: its own, or its parent's when it only changes settings."""
        manifest = self.manifest
        return manifest.parent if manifest.parent and manifest.overrides != Overrides() else self.digest


@dataclass(frozen=True)
class Removed:
    """The removed name and its manifest (64 hex), "" where the ref was damaged."""

    name: Name
    digest: str
