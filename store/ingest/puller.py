"""Finds out what a pull's source is (a folder, a built-in model, a hub repository) and pulls it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..aliases import ALIASES
from ..disk.blobs import Blobs
from ..disk.manifests import Kind, Manifest, Manifests, Source
from ..disk.pins import Pins
from ..disk.refs import Ref, Refs
from ..errors import DamagedModel, HubError, InvalidName, SourceError, UnknownModel
from ..hub.address import Address, checked_revision, parse
from ..hub.hub_endpoint import HubEndpoint
from ..lookup import alias_of, look_up, on_hub
from ..names import Name
from ..progress import Report
from . import folder as folders
from .builtin import builtin, find_builtin
from .folder_pull import FolderPull, source_of
from .recorder import NewModel, Recorder


@dataclass(frozen=True)
class PullOptions:
    """What a caller may state about a pull; None: detect. The token is sent to the hub only."""

    kind: Kind | None
    name: Name | None
    revision: str | None
    token: str | None
    report: Report

    def __repr__(self) -> str:
        return f"PullOptions(kind={self.kind}, name={self.name}, revision={self.revision})"


@dataclass(frozen=True)
class Puller:
    """Pulls models. The caller holds the store's lock shared."""

    blobs: Blobs
    manifests: Manifests
    refs: Refs
    pins: Pins
    aliases: Mapping[str, str]
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def pull(self, source: str, options: PullOptions) -> Ref:
        """`source`: a path (absolute, or beginning with . or ~), a built-in or installed model, an alias, a repository.

        Raises what each of them raises, and SourceError for anything else.
        """
        folder = Path(source).expanduser() if source.startswith((".", "~")) else Path(source)
        local = folder.is_absolute() or source.startswith(".")
        if options.revision is not None and (local or find_builtin(source)):
            raise SourceError("only hub repositories have revisions", hint="leave --revision out")
        if local:
            return self.folder(folder, options)
        if find_builtin(source):
            return self.builtin(source, options)
        endpoint = HubEndpoint.from_environment(self.environ, options.token)
        text, _, stated = source.partition("@")
        revision = checked_revision(stated) if stated and "/" not in stated else None
        target = alias_of(text, self.aliases)
        given = self.name_of_alias(text)
        installed = self._installed(text) if revision == (stated or None) else None
        if installed is not None and not (given and _is_of(installed, target) and installed[0] != given):
            name, manifest = installed
            return self._pull_again(name, manifest, endpoint, revision, options)
        if target is not None and find_builtin(target):
            return self.builtin(target, options)
        address = parse(source if target is None else target + (f"@{stated}" if stated else ""), endpoint.url)
        return self._hub(address, endpoint, options.name or given, options)

    def name_of_alias(self, text: str) -> Name | None:
        """The name of a model that is pulled by this alias of a repository: the alias. None for other sources, and for
        the user's own aliases, which may change."""
        target = alias_of(text, self.aliases)
        if target is None or find_builtin(target) or target != alias_of(text, ALIASES):
            return None
        return Name.parse(text.lower())

    def origin(self, source: str, options: PullOptions) -> Source | None:
        """The hub repository and commit that `source` stands for now; None for a source that is not on the hub.

        Raises HubError.
        """
        text, at, stated = source.partition("@")
        target = alias_of(text, self.aliases) or text
        if source.startswith(("/", ".", "~")) or find_builtin(target):
            return None
        endpoint = HubEndpoint.from_environment(self.environ, options.token)
        try:
            address = parse(target + at + stated, endpoint.url)
        except HubError:
            raise
        except SourceError:  # an installed model's short name, or nothing: the pull decides
            return None
        from ..hub.listing import list_repository

        revision = options.revision or address.revision
        found = list_repository(endpoint, address.repository, revision, report=options.report, environ=self.environ)
        return Source(kind="hub", location=found.id, revision=found.commit)

    def folder(self, folder: Path, options: PullOptions) -> Ref:
        """Raises SourceError, UnsupportedModel, DamagedModel, NoSpace."""
        folder = folder.expanduser()
        return self._local(folder, options.name or folders.name_of(folder), source_of(folder), options)

    def builtin(self, source: str, options: PullOptions) -> Ref:
        """Raises UnknownModel."""
        chosen = builtin(source)
        return self._local(
            chosen.folder,
            options.name or chosen.full_name,
            Source(kind="builtin", location=chosen.name),
            options,
            kind=options.kind or chosen.kind,
            kind_reason=f"the built-in table says so; {chosen.description}",
            created=chosen.created,
        )

    def _local(
        self,
        folder: Path,
        name: Name,
        source: Source,
        options: PullOptions,
        *,
        kind: Kind | None = None,
        kind_reason: str | None = None,
        created: str | None = None,
    ) -> Ref:
        hints = tuple(dict.fromkeys((folders.name_of(folder).model, name.model)))
        new = NewModel(name, source, hints, kind or options.kind, kind_reason, created)
        return FolderPull(self.blobs, self._recorder(), options.report).run(
            new, folders.scan(folder, shipped=source.kind == "builtin")
        )

    def _hub(self, address: Address, endpoint: HubEndpoint, name: Name | None, options: PullOptions) -> Ref:
        # Imported with the first pull: HTTP and TLS cost 5 MB, which a daemon that only serves does not need.
        from .hub_pull import HubPull

        if options.revision is not None:
            address = Address(address.repository, checked_revision(options.revision))
        pins = self.pins.for_source(address.repository)
        pull = HubPull(endpoint, self.environ, self.blobs, self._recorder(pins), pins, options.report)
        return pull.run(address, name, options.kind)

    def _installed(self, text: str) -> tuple[Name, Manifest] | None:
        """The installed model of that name. Not a damaged one: pulling its repository again repairs it."""
        try:
            name = look_up(text, list(self.refs.names()), self.aliases)
            ref = self.refs.get(name)
            if ref is None or ref.problem is not None:
                return None
            manifest = self.manifests.get(ref.hex)
        except (UnknownModel, InvalidName, DamagedModel):
            return None
        if on_hub(text) and manifest.source.kind != "hub":
            return None  # it only has the same name
        return ref.name, manifest

    def _pull_again(
        self, name: Name, manifest: Manifest, endpoint: HubEndpoint, revision: str | None, options: PullOptions
    ) -> Ref:
        """Pull an installed model again from its source, under its own name."""
        source = manifest.source
        if manifest.parent is not None or source.kind not in ("hub", "builtin", "local"):
            raise SourceError(
                f"{name.display()} was made from another model on this machine, so it cannot be pulled",
                hint=f"pull {source.location}, which its files came from, or remove {name.display()} first",
            )
        options_again = PullOptions(options.kind, options.name or name, options.revision, options.token, options.report)
        if source.kind == "hub":
            return self._hub(Address(source.location, revision), endpoint, options_again.name, options_again)
        if revision is not None or options.revision is not None:
            raise SourceError("only hub repositories have revisions", hint="leave the revision out")
        if source.kind == "builtin":
            return self.builtin(source.location, options_again)
        if not Path(source.location).is_absolute():
            raise SourceError(
                f"{name.display()} was made from {source.location}, so it cannot be pulled again",
                hint="create it again, or remove it first",
            )
        return self.folder(Path(source.location), options_again)

    def _recorder(self, pins: Pins | None = None) -> Recorder:
        return Recorder(self.manifests, self.refs, pins or self.pins)


def _is_of(installed: tuple[Name, Manifest], repository: str | None) -> bool:
    """Whether an installed model was pulled from this repository, under whichever name."""
    manifest = installed[1]
    hub = manifest.source.kind == "hub" and manifest.parent is None
    return hub and repository is not None and manifest.source.location.lower() == repository.lower()
