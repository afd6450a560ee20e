"""Every way in which a model comes in: from a folder, out of the package, from the hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..disk.blobs import Blobs
from ..disk.manifests import Kind, Manifest, Manifests, Source
from ..disk.pins import Promised
from ..disk.refs import Ref, Refs
from ..errors import DamagedModel, HubError, InvalidName, SourceError, UnknownModel
from ..hub.address import Address, checked_revision, parse
from ..hub.remote import Endpoint
from ..lookup import look_up
from ..names import Name
from ..progress import Report
from . import folder as folders
from .builtin import builtin, find_builtin
from .from_folder import Pull, source_of
from .recording import Order, Recorder


@dataclass(frozen=True)
class Wish:
    """What a caller may say about a pull beside its source; None: find out. The token is for the hub alone."""

    kind: Kind | None
    name: Name | None
    revision: str | None
    token: str | None
    report: Report

    def __repr__(self) -> str:
        return f"Wish(kind={self.kind}, name={self.name}, revision={self.revision})"


@dataclass(frozen=True)
class Puller:
    """Carries out pulls. The caller holds the store's lock shared."""

    blobs: Blobs
    manifests: Manifests
    refs: Refs
    promised: Promised
    aliases: Mapping[str, str]
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def pull(self, source: str, wish: Wish) -> Ref:
        """`source`: a path (absolute, or with . or ~ in front), a built-in, what is installed, an alias, a repository.

        Raises what each of them raises, and SourceError for what is none of them.
        """
        folder = Path(source).expanduser() if source.startswith((".", "~")) else Path(source)
        local = folder.is_absolute() or source.startswith(".")
        if wish.revision is not None and (local or find_builtin(source)):
            raise SourceError("only a repository of the hub has revisions", hint="leave --revision out")
        if local:
            return self.folder(folder, wish)
        if find_builtin(source):
            return self.builtin(source, wish)
        endpoint = Endpoint.from_environment(self.environ, wish.token)
        text, _, stated = source.partition("@")
        revision = checked_revision(stated) if stated and "/" not in stated else None
        installed = self._installed(text) if revision == (stated or None) else None
        if installed is not None:
            name, manifest = installed
            return self._again(name, manifest, endpoint, revision, wish)
        target = self.aliases.get(text.lower())
        if target is not None and find_builtin(target):
            return self.builtin(target, wish)
        address = parse(source if target is None else target + (f"@{stated}" if stated else ""), endpoint.url)
        return self._hub(address, endpoint, wish.name, wish)

    def origin(self, source: str, wish: Wish) -> Source | None:
        """What the hub has under a repository's name or an alias now; None where a source is not the hub's.

        Raises HubError.
        """
        text, at, stated = source.partition("@")
        target = self.aliases.get(text.lower(), text)
        if source.startswith(("/", ".", "~")) or find_builtin(target):
            return None
        endpoint = Endpoint.from_environment(self.environ, wish.token)
        try:
            address = parse(target + at + stated, endpoint.url)
        except HubError:
            raise
        except SourceError:  # an installed model's short name, or nothing at all: the pull will tell
            return None
        from ..hub.listing import list_repository

        revision = wish.revision or address.revision
        found = list_repository(endpoint, address.repository, revision, report=wish.report, environ=self.environ)
        return Source(kind="hub", location=found.id, revision=found.commit)

    def folder(self, folder: Path, wish: Wish) -> Ref:
        """Raises SourceError, UnsupportedModel, DamagedModel, NoSpace."""
        folder = folder.expanduser()
        return self._local(folder, wish.name or folders.name_of(folder), source_of(folder), wish)

    def builtin(self, source: str, wish: Wish) -> Ref:
        """Raises UnknownModel when there is none of that name."""
        chosen = builtin(source)
        return self._local(
            chosen.folder,
            wish.name or chosen.full_name,
            Source(kind="builtin", location=chosen.name),
            wish,
            kind=wish.kind or chosen.kind,
            remark=f"the built-in table says so; {chosen.description}",
            created=chosen.created,
        )

    def _local(
        self,
        folder: Path,
        name: Name,
        source: Source,
        wish: Wish,
        *,
        kind: Kind | None = None,
        remark: str | None = None,
        created: str | None = None,
    ) -> Ref:
        hints = tuple(dict.fromkeys((folders.name_of(folder).model, name.model)))
        order = Order(name, source, hints, kind or wish.kind, remark, created)
        return Pull(self.blobs, self._recorder(), wish.report).run(
            order, folders.scan(folder, shipped=source.kind == "builtin")
        )

    def _hub(self, address: Address, endpoint: Endpoint, name: Name | None, wish: Wish) -> Ref:
        # HTTP and TLS cost a daemon that only serves 5 MB and a moment; the first pull pays.
        from .from_hub import HubPull

        if wish.revision is not None:
            address = Address(address.repository, checked_revision(wish.revision))
        promised = self.promised.towards(address.repository)
        pull = HubPull(endpoint, self.environ, self.blobs, self._recorder(promised), promised, wish.report)
        return pull.run(address, name, wish.kind)

    def _installed(self, text: str) -> tuple[Name, Manifest] | None:
        """The model that a text stands for. A damaged one is none, so that its repository's name can repair it."""
        try:
            name = look_up(text, list(self.refs.names()), self.aliases)
            ref = self.refs.get(name)
            return None if ref is None or ref.problem is not None else (ref.name, self.manifests.get(ref.hex))
        except (UnknownModel, InvalidName, DamagedModel):
            return None

    def _again(self, name: Name, manifest: Manifest, endpoint: Endpoint, revision: str | None, wish: Wish) -> Ref:
        """From where an installed model came, under its own name."""
        source = manifest.source
        if manifest.parent is not None or source.kind not in ("hub", "builtin", "local"):
            raise SourceError(
                f"{name.display()} was made here out of another model, so it cannot be pulled",
                hint=f"its files came from {source.location}; pull that, or remove {name.display()} first",
            )
        again = Wish(wish.kind, wish.name or name, wish.revision, wish.token, wish.report)
        if source.kind == "hub":
            return self._hub(Address(source.location, revision), endpoint, again.name, again)
        if revision is not None or wish.revision is not None:
            raise SourceError("only a repository of the hub has revisions", hint="leave the revision out")
        if source.kind == "builtin":
            return self.builtin(source.location, again)
        if not Path(source.location).is_absolute():
            raise SourceError(
                f"{name.display()} was made of {source.location}, so it cannot be pulled again",
                hint="create it again, or remove it first",
            )
        return self.folder(Path(source.location), again)

    def _recorder(self, promised: Promised | None = None) -> Recorder:
        return Recorder(self.manifests, self.refs, promised or self.promised)
