"""The installed models by name, and the look-up of names that users type."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Mapping

from .disk.manifests import Manifests
from .disk.refs import Ref, Refs
from .errors import DamagedModel, UnknownModel
from .installed import Installed
from .lookup import look_up, spelled, without_host
from .names import Name, is_full

log = logging.getLogger("mlx_serve.store")


class Catalogue:
    """Reads the refs and manifests of one store. `aliases` are keyed by lower-case text."""

    def __init__(self, manifests: Manifests, refs: Refs, aliases: Mapping[str, str]) -> None:
        self._manifests = manifests
        self._refs = refs
        self._aliases = aliases
        self._warned: set[tuple[Name, str]] = set()

    def models(self) -> list[Installed]:
        """Every readable model, newest first. A damaged one is left out, with one warning."""
        found = [model for ref in self._refs.all() if (model := self._readable(ref)) is not None]
        return sorted(found, key=lambda model: (-model.modified.timestamp(), model.name.key))

    def find(self, text: str) -> Installed:
        """By full name, alias or short name. Raises InvalidName, UnknownModel, AmbiguousName, DamagedModel."""
        return self.installed(self.ref(text))

    def ref(self, text: str) -> Ref:
        """As `find`, for damaged models too."""
        # A full name needs no listing of the other models.
        ref = self._refs.get(Name.parse(text)) if is_full(text) else None
        if ref is None:
            try:
                ref = self._refs.get(look_up(text, list(self._refs.names()), self._aliases))
            except UnknownModel:
                ref = self._of_repository(without_host(text))
                if ref is None:
                    raise
        if ref is None:
            raise UnknownModel(text)
        return ref

    def spellings(self) -> dict[Name, str]:
        """How listings call each installed model."""
        return spelled(list(self._refs.names()), self._aliases)

    def _of_repository(self, text: str) -> Ref | None:
        """The newest model that was pulled from this repository by another name, as it is there."""
        if not is_full(text):
            return None
        wanted = text.lower().removesuffix(":latest")
        for model in self.models():
            manifest = model.manifest
            if manifest.source.kind == "hub" and manifest.parent is None and manifest.source.location.lower() == wanted:
                return self._refs.get(model.name)
        return None

    def installed(self, ref: Ref) -> Installed:
        """Raises DamagedModel."""
        if ref.problem is not None:
            raise DamagedModel(f"the name {ref.name.display()} is damaged: {ref.problem}")
        manifest = self._manifests.get(ref.hex)
        modified = datetime.datetime.fromtimestamp(ref.modified).astimezone()
        return Installed(ref.name, ref.hex, manifest, modified, manifest.size)

    def sole_repository(self, ref: Ref) -> str | None:
        """The hub repository that this model, and no other, was pulled from; None without one."""
        try:
            manifest = self.installed(ref).manifest
        except DamagedModel:
            return None
        others = [model for model in self.models() if model.name != ref.name and model.manifest.parent is None]
        last = all(model.manifest.source.location != manifest.source.location for model in others)
        pulled = manifest.source.kind == "hub" and manifest.parent is None
        return manifest.source.location if pulled and last else None

    def _readable(self, ref: Ref) -> Installed | None:
        try:
            return self.installed(ref)
        except DamagedModel as error:
            if self._refs.get(ref.name) == ref and (ref.name, ref.hex) not in self._warned:
                self._warned.add((ref.name, ref.hex))
                log.warning("skip model name=%s reason=%s", ref.name.display(), error)
            return None
