"""What callers of the store get: an installed model, and a removed one."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from .disk.manifests import Manifest, Overrides, inherited
from .names import Name

LEAST_CONTEXT = 4
_NO_OVERRIDES = Overrides()


@dataclass(frozen=True)
class Defaults:
    """What the user's settings say of one model, under the name `key` that stands there; without one they say nothing.

    `overrides` go before those that the model was created with. `keep_alive` in seconds, negative for ever, None: as
    for all; a `pinned` one stays in memory. `context_length` in tokens takes the place of the limit for all models.
    """

    key: str = ""
    overrides: Overrides = _NO_OVERRIDES
    keep_alive: float | None = None
    pinned: bool = False
    context_length: int | None = None


NOTHING = Defaults()


@dataclass(frozen=True)
class Installed:
    """A model with its name. `digest` is the manifest's (64 hex), `size` the bytes of all files; `defaults` are what
    the user's settings say of this name."""

    name: Name
    digest: str
    manifest: Manifest
    modified: datetime.datetime
    size: int
    defaults: Defaults = NOTHING

    @property
    def base(self) -> str:
        """The manifest (hex) that the files belong to: its own, or its parent's when it only changes settings."""
        manifest = self.manifest
        return manifest.parent if manifest.parent and manifest.overrides != Overrides() else self.digest

    @property
    def overrides(self) -> Overrides:
        """Its own settings, with the user's before them."""
        return inherited(self.manifest.overrides, self.defaults.overrides)

    def context_length(self, limit: int | None) -> int | None:
        """Tokens of its context here; None for a model that states none. `limit`: of all models, None without one."""
        if not self.manifest.context_length:
            return None
        own = self.overrides.parameters.get("num_ctx")
        lengths = [
            self.manifest.context_length,
            limit if self.defaults.context_length is None else None,
            None if own is None else max(LEAST_CONTEXT, int(own)),
        ]
        return min(length for length in lengths if length)

    def loaded_context(self, limit: int | None) -> int | None:
        """The limit that its process is given; None: its own context. What generates is held to less than that request
        by request, so that names with other settings can share the process."""
        own = self.defaults.context_length
        if own is None or self.manifest.kind not in ("llm", "vlm"):
            return limit if own is None else own
        return None if limit is None else max(own, limit)


@dataclass(frozen=True)
class Removed:
    """The removed name and its manifest (64 hex), "" where the ref was damaged."""

    name: Name
    digest: str
