"""What callers of the store get: an installed model, and one that is gone."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from .disk.manifests import Manifest, Overrides
from .names import Name


@dataclass(frozen=True)
class Installed:
    """A name and what it stands for. `digest` is the manifest's (64 hex), `size` bytes of all files."""

    name: Name
    digest: str
    manifest: Manifest
    modified: datetime.datetime
    size: int

    @property
    def base(self) -> str:
        """The manifest (hex) whose files these are: its own, or that of the model it only lays settings over."""
        manifest = self.manifest
        return manifest.parent if manifest.parent and manifest.overrides != Overrides() else self.digest


@dataclass(frozen=True)
class Removed:
    """The name that is gone and the manifest (64 hex) it stood for, "" where the name was damaged."""

    name: Name
    digest: str
