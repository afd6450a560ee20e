"""The installed models by name, and the look-up of names that users type."""

from __future__ import annotations

import contextlib
import datetime
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from .disk.manifests import Manifests
from .disk.refs import Ref, Refs
from .errors import DamagedModel, StoreError, UnknownModel
from .installed import NOTHING, Defaults, Installed
from .lookup import look_up, spelled, without_host
from .names import Name, is_full

log = logging.getLogger("mlx_serve.store")


class Catalogue:
    """Reads the refs and manifests of one store. `aliases` are keyed by lower-case text, `defaults` by any name that
    finds a model; both may be set anew while others read."""

    def __init__(self, manifests: Manifests, refs: Refs, aliases: Mapping[str, str]) -> None:
        self._manifests = manifests
        self._refs = refs
        self._aliases = aliases
        self._warned: set[tuple[Name, str]] = set()
        self.defaults: Mapping[str, Defaults] = {}
        self._found: tuple[Mapping[str, Defaults], tuple[Name, ...], dict[Name, Defaults]] = (self.defaults, (), {})

    def models(self) -> list[Installed]:
        """Every readable model, newest first. A damaged one is left out, with one warning."""
        refs = list(self._refs.all())
        defaults = self._by_name(tuple(ref.name for ref in refs))
        found = [replace(model, defaults=defaults.get(model.name, NOTHING)) for model in self._readable(refs)]
        return sorted(found, key=lambda model: (-model.modified.timestamp(), model.name.key))

    def find(self, text: str) -> Installed:
        """By full name, alias or short name. Raises InvalidName, UnknownModel, AmbiguousName, DamagedModel."""
        return self.installed(self.ref(text))

    def unmatched(self) -> dict[str, str]:
        """The names among the defaults that stand for no model of their own, each with the reason."""
        reasons, names = {}, dict[Name, str]()
        for text in self.defaults:
            try:
                name = self.ref(text).name
            except StoreError as error:
                reasons[text] = str(error)
                continue
            if name in names:
                reasons[text] = f"it is the same model as {names[name]!r}, which counts"
            names.setdefault(name, text)
        return reasons

    def _by_name(self, names: tuple[Name, ...]) -> Mapping[Name, Defaults]:
        """The defaults of each of these models that has some; of two names for one model the first counts."""
        given = self.defaults
        if not given:
            return {}
        if self._found[0] is not given or self._found[1] != names:
            found: dict[Name, Defaults] = {}
            for text, defaults in given.items():
                with contextlib.suppress(StoreError):
                    found.setdefault(self.ref(text).name, defaults)
            self._found = (given, names, found)
        return self._found[2]

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
        for model in sorted(self._readable(self._refs.all()), key=lambda model: -model.modified.timestamp()):
            manifest = model.manifest
            if manifest.source.kind == "hub" and manifest.parent is None and manifest.source.location.lower() == wanted:
                return self._refs.get(model.name)
        return None

    def installed(self, ref: Ref) -> Installed:
        """Raises DamagedModel."""
        model = self._read(ref)
        if not self.defaults:
            return model
        return replace(model, defaults=self._by_name(tuple(self._refs.names())).get(ref.name, NOTHING))

    def _read(self, ref: Ref) -> Installed:
        """Without the user's defaults. Raises DamagedModel."""
        if ref.problem is not None:
            raise DamagedModel(f"the name {ref.name.display()} is damaged: {ref.problem}")
        manifest = self._manifests.get(ref.hex)
        modified = datetime.datetime.fromtimestamp(ref.modified).astimezone()
        return Installed(ref.name, ref.hex, manifest, modified, manifest.size)

    def sole_repository(self, ref: Ref) -> str | None:
        """The hub repository that this model, and no other, was pulled from; None without one."""
        try:
            manifest = self._read(ref).manifest
        except DamagedModel:
            return None
        others = [model for model in self.models() if model.name != ref.name and model.manifest.parent is None]
        last = all(model.manifest.source.location != manifest.source.location for model in others)
        pulled = manifest.source.kind == "hub" and manifest.parent is None
        return manifest.source.location if pulled and last else None

    def _readable(self, refs: Iterable[Ref]) -> Iterator[Installed]:
        """Without the user's defaults."""
        for ref in refs:
            try:
                yield self._read(ref)
            except DamagedModel as error:
                if self._refs.get(ref.name) == ref and (ref.name, ref.hex) not in self._warned:
                    self._warned.add((ref.name, ref.hex))
                    log.warning("skip model name=%s reason=%s", ref.name.display(), error)
