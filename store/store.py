"""The models on disk, as the rest of the program sees them. Synchronous: callers with an event loop use a thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .aliases import Aliases
from .catalogue import Catalogue
from .disk.blobs import Blobs, Incoming, hex_of
from .disk.filesystem import FileSystem
from .disk.gc import Collected, Collector
from .disk.layout import Layout, open_layout
from .disk.leftovers import Leftovers
from .disk.locks import Lock
from .disk.manifests import Kind, Manifests, Overrides, Source
from .disk.pins import Pins
from .disk.refs import Ref, Refs
from .disk.verify import Verified, Verifier
from .disk.views import Views
from .errors import NoSpace, StoreBusy, UnknownModel
from .ingest.adoption import Adoption, workspace
from .ingest.creation import Creator
from .ingest.intake import require_space
from .ingest.puller import Puller, PullOptions
from .installed import Defaults, Installed, Removed
from .names import Name
from .progress import Report, silent
from .store_access import StoreAccess

__all__ = ["Defaults", "Installed", "Removed", "Store"]

log = logging.getLogger("mlx_serve.store")

_BUSY_SECONDS = 5.0
_REMOVE_BUSY_SECONDS = 1.0


class Store:
    """One model store. Every failure is a StoreError; threads and processes may use one folder at the same time."""

    def __init__(self, layout: Layout, aliases: Mapping[str, str], disk: FileSystem) -> None:
        self.directory = layout.directory
        self.read_only = layout.read_only
        self._layout = layout
        self._disk = disk
        self._aliases = Aliases(aliases)
        self._lock = Lock(layout.lock)
        self._blobs = Blobs(layout.blobs, layout.partial, disk)
        self._access = StoreAccess(layout.directory, layout.read_only, disk, self._lock, self._blobs.fingerprints)
        self._manifests = Manifests(self._blobs)
        self._refs = Refs(layout.refs, layout.partial, disk)
        self._catalogue = Catalogue(self._manifests, self._refs, self._aliases)
        self._views = Views(layout.views, self._blobs)
        self._pins = Pins(layout.partial, disk)
        self._puller = Puller(self._blobs, self._manifests, self._refs, self._pins, self._aliases)
        self._creator = Creator(self._blobs, self._manifests, self._refs, self._pins)
        self._leftovers = Leftovers(layout.partial, disk)
        self._collector = Collector(
            disk, self._leftovers, self._blobs, self._manifests, self._refs, self._views, self._pins
        )
        self._verifier = Verifier(self._blobs, self._manifests, self._refs, self._lock)

    @classmethod
    def open(
        cls, directory: Path, aliases: Mapping[str, str] | None = None, *, disk: FileSystem | None = None
    ) -> Store:
        """Create the folder when it is missing. Raises StoreVersion, StoreError, and ReadOnlyStore when it cannot."""
        disk = disk or FileSystem()
        store = cls(open_layout(directory, disk), aliases or {}, disk)
        if not store.read_only:
            store._clean_up()
        return store

    def configure(self, aliases: Mapping[str, str], defaults: Mapping[str, Defaults]) -> None:
        """Other aliases of the user's, and other settings of single models, from now on; both by names as the user
        wrote them."""
        self._aliases.replace(aliases)
        self._catalogue.defaults = dict(defaults)

    # --- reading ------------------------------------------------------------------------------------------------------

    def models(self) -> list[Installed]:
        """Every readable model, newest first. A damaged one is left out, with one warning."""
        with self._access.looking("list the models"):
            return self._catalogue.models()

    def find(self, text: str) -> Installed:
        """By full name, alias or short name. Raises InvalidName, UnknownModel, AmbiguousName, DamagedModel."""
        with self._access.looking("look a model up"):
            return self._catalogue.find(text)

    def unmatched(self) -> dict[str, str]:
        """The names of the user's settings of single models that stand for no model of their own, with the reason."""
        with self._access.looking("look models up"):
            return self._catalogue.unmatched()

    def spellings(self) -> dict[Name, str]:
        """How listings call each installed model: `foo` for `local/foo` wherever `foo` finds it."""
        with self._access.looking("list the models"):
            return self._catalogue.spellings()

    def resolve(self, text: str) -> Name:
        """The full name for a short one or an alias; raises what `find` raises."""
        return self.find(text).name

    def view(self, model: Installed, *, checked: bool = True) -> Path:
        """A folder with the model's files under their real names. Raises DamagedModel.

        `checked`: hash each file again that has changed since it was last hashed, which takes seconds for each GB;
        needed before the model is loaded.
        """
        if checked:
            with self._access.looking("check the model's files"):
                self._verifier.check(model.name, model.manifest)
        with self._access.reading("make the model's folder"):
            return self._views.get(model.digest, model.manifest, read_only=self.read_only)

    def verify(
        self, name: str | None = None, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> Iterator[Verified]:
        """Read every byte again, one value per file. Damage is reported, nothing is deleted.

        `progress` gets the bytes done and the total, and may raise to cancel.
        """
        with self._access.looking("verify the models"):
            chosen = None if name is None else [self._catalogue.ref(name)]
            yield from self._verifier.run(chosen, progress)

    def no_space(self) -> NoSpace:
        """The error for a write to the store that failed because the disk is full."""
        return self._access.no_space()

    # --- changing -----------------------------------------------------------------------------------------------------

    def copy(self, source: str, destination: str) -> Installed:
        """Give a model a second name, replacing any model of that name."""
        target = Name.parse(destination)
        with self._access.changing("copy the model"):
            model = self.find(source)
            return self._catalogue.installed(self._refs.set(target, model.digest))

    def create(self, source: str, destination: str, given: Overrides) -> Installed:
        """A model with another's files and other settings (see `manifests.inherited`)."""
        target = Name.parse(destination)
        with self._access.changing("create the model"):
            model = self.find(source)
            return self._catalogue.installed(self._creator.variant(model.manifest, model.base, target, given))

    def create_from_files(self, files: Mapping[str, str], destination: str, overrides: Overrides) -> Installed:
        """A model of uploaded blobs (path -> digest). Raises SourceError, UnsupportedModel, DamagedModel."""
        target = Name.parse(destination)
        with self._access.changing("create the model"):
            return self._catalogue.installed(self._creator.from_files(files, target, overrides))

    def remove(self, name: str, protect: Collection[str] = ()) -> Removed:
        """Remove a name, then delete unused files (left to a later `gc` while a pull is running).

        A damaged model can be removed as well. `protect`: manifests (hex) whose files are kept, for models in memory.
        """
        self._access.require_writable()
        with self._access.reading("remove the model"):
            ref = self._catalogue.ref(name)
            if (repository := self._catalogue.sole_repository(ref)) is not None:
                # Also drop what an interrupted pull of it has stored: the user wants the space.
                self._pins.for_source(repository).release_all()
            if not self._refs.remove(ref.name):
                raise UnknownModel(name)
        try:
            with self._access.sweeping("remove the model", _REMOVE_BUSY_SECONDS):
                self._collector.run(protect)
        except StoreBusy:
            log.info("keep files until the next gc model=%s reason=busy", ref.name.display())
        return Removed(ref.name, ref.hex)

    def gc(self, dry_run: bool = False, protect: Collection[str] = ()) -> Collected:
        """Delete unused files. `protect`: manifests (hex) to keep with their files. Raises StoreBusy during a pull."""
        action = "delete unused files"
        with self._access.reading(action) if dry_run else self._access.sweeping(action, _BUSY_SECONDS):
            return self._collector.run(protect, dry_run=dry_run)

    def claim(self, digest: str) -> bool:
        """Whether a file of that digest (`sha256:<hex>`) is stored; if so it is pinned for the model to be created.

        Raises DamagedModel for an invalid digest.
        """
        hex_digest = hex_of(digest)
        with self._access.reading("look for the file"):
            if not self._blobs.path(hex_digest).is_file():
                return False
            if not self.read_only:
                self._pins.add(hex_digest)
            return True

    @contextmanager
    def upload(self, digest: str, size: int) -> Iterator[Incoming]:
        """A blob to write one uploaded file to; `commit(hex)` stores it, pinned for the model to be created.

        `size`: announced bytes, 0 if unknown. Raises NoSpace, ReadOnlyStore, DamagedModel.
        """
        with self._access.changing("store the file"):
            require_space(self._blobs, size)
            self._pins.add(hex_of(digest))
            with self._blobs.incoming() as incoming:
                yield incoming

    # --- pulling ------------------------------------------------------------------------------------------------------

    def pull(
        self,
        source: str,
        *,
        kind: Kind | None = None,
        name: str | None = None,
        revision: str | None = None,
        token: str | None = None,
        progress: Report = silent,
    ) -> Installed:
        """Pull from a folder (an absolute path, or one beginning with . or ~), the built-in models, or the hub.

        An installed model is pulled again from its source. Raises SourceError, HubError, UnsupportedModel,
        DamagedModel, NoSpace, InvalidName, AmbiguousName. `progress` may raise to cancel; the bytes fetched so far are
        kept for the next pull.
        """
        return self._pull(lambda options: self._puller.pull(source, options), kind, name, progress, revision, token)

    def origin(
        self, source: str, *, revision: str | None = None, token: str | None = None, progress: Report = silent
    ) -> Source | None:
        """The repository and the commit that a pull would fetch now; None when the source is not on the hub.

        Raises HubError.
        """
        return self._puller.origin(source, PullOptions(None, None, revision, token, progress))

    def name_of_alias(self, text: str) -> Name | None:
        """The name that a model gets which is pulled by this alias; None for any other source."""
        return self._puller.name_of_alias(text)

    def pull_folder(
        self, folder: Path, *, name: str | None = None, kind: Kind | None = None, progress: Report = silent
    ) -> Installed:
        """Store the model of a folder, which is not changed.

        Raises SourceError, UnsupportedModel, DamagedModel, NoSpace.
        """
        return self._pull(lambda options: self._puller.folder(folder, options), kind, name, progress)

    def pull_builtin(
        self, source: str, *, name: str | None = None, kind: Kind | None = None, progress: Report = silent
    ) -> Installed:
        """Install a built-in model. Raises UnknownModel when there is none of that name."""
        return self._pull(lambda options: self._puller.builtin(source, options), kind, name, progress)

    def _pull(
        self,
        work: Callable[[PullOptions], Ref],
        kind: Kind | None,
        name: str | None,
        progress: Report,
        revision: str | None = None,
        token: str | None = None,
    ) -> Installed:
        options = PullOptions(kind, Name.parse(name) if name is not None else None, revision, token, progress)
        with self._access.changing("store the model"):
            return self._catalogue.installed(work(options))

    # --- derived models -----------------------------------------------------------------------------------------------

    @contextmanager
    def unswept(self) -> Iterator[None]:
        """Files of a model that is found in it stay meanwhile, even if its name is removed. Raises StoreBusy."""
        with self._lock.shared():
            yield

    @contextmanager
    def workspace(self, needed: int) -> Iterator[Path]:
        """A private folder for `needed` bytes of files, removed at the end; no sweep runs meanwhile.

        Raises NoSpace, ReadOnlyStore.
        """
        self._access.require_writable()
        with self._lock.shared(), workspace(self._layout.partial, self._disk, needed) as folder:
            yield folder

    def adopt(
        self,
        folder: Path,
        *,
        name: str,
        parent: Installed,
        reason: str | None = None,
        report: Callable[[int], None] = lambda done: None,
    ) -> Installed:
        """Make a model of a workspace's files and the rest of `parent`'s, with the same source and kind.

        `report` gets the bytes stored so far. Raises SourceError, DamagedModel, NoSpace.
        """
        target = Name.parse(name)
        with self._access.changing("store the model"):
            adoption = Adoption(self._blobs, self._manifests, self._refs, report)
            return self._catalogue.installed(adoption.run(folder, target, parent.manifest, parent.digest, reason))

    # --- internal -----------------------------------------------------------------------------------------------------

    def _clean_up(self) -> None:
        """Remove what a killed process left behind, unless the store is in use now."""
        if not self._lock.works():
            log.warning("file locks do not work on this file system; use the models folder from one daemon only")
        try:
            with self._access.sweeping("clean up the model store", 0):
                self._leftovers.remove(self._leftovers.abandoned())
        except StoreBusy:
            log.debug("skip cleanup reason=busy")
