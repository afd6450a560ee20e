"""One pull from the hub: list, fetch and check the small files, refuse unsupported models, fetch the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..allowlist import media_type
from ..disk.blobs import Blob, Blobs
from ..disk.manifests import KINDS, Kind, Layer, Source
from ..disk.pins import Pins
from ..disk.refs import Ref
from ..errors import HubChanged
from ..hub.address import Address
from ..hub.fetch import timeouts
from ..hub.fetch.download import Downloader
from ..hub.fetch.fetch_thread import FetchSource
from ..hub.fetch.partial import allocated_bytes
from ..hub.fetch.timeouts import Timeouts
from ..hub.fetch.totals import Totals
from ..hub.hub_endpoint import HubEndpoint
from ..hub.hub_errors import offline_error
from ..hub.listing import list_repository
from ..hub.repository import HubFile, Repository
from ..hub.selection import select
from ..inspect import architectures
from ..inspect.configs import ModelFiles, refuse_remote_code
from ..inspect.findings import inspect
from ..inspect.preview import preview
from ..names import Name
from ..progress import Report
from .intake import require_space
from .local_copies import LocalCopies
from .recorder import NewModel, Recorder

_FIRST = "config.json"


@dataclass
class HubPull:
    """One pull. The caller holds the store's lock shared; `report` may raise to cancel."""

    endpoint: HubEndpoint
    environ: Mapping[str, str]
    blobs: Blobs
    recorder: Recorder
    pins: Pins
    report: Report
    timeouts: Timeouts = field(default_factory=lambda: timeouts.DEFAULT)

    def run(self, address: Address, name: Name | None, kind: Kind | None) -> Ref:
        """The ref, with the new manifest, or with the old one when nothing has changed."""
        totals = Totals(self.report)
        repository = self._listed(address)
        try:
            return self._pull(repository, totals, name, kind)
        except HubChanged:
            # The repository may just have been updated. Start over once, so that two commits are never mixed.
            again = self._listed(address)
            if again == repository:
                raise
            return self._pull(again, totals, name, kind)

    def _listed(self, address: Address) -> Repository:
        return list_repository(
            self.endpoint, address.repository, address.revision, report=self.report, environ=self.environ
        )

    def _pull(self, repository: Repository, totals: Totals, name: Name | None, kind: Kind | None) -> Ref:
        selection = select(repository)
        totals.expect((*selection.small, *selection.weights))
        totals.report("checking files")
        repository_files = _RepositoryFiles(self, repository, totals)
        # config.json alone shows whether this user has access and whether the model can be served.
        found = repository_files.ensure([file for file in selection.small if file.path == _FIRST])
        _refuse_early(self._files(found), kind)
        found |= repository_files.ensure([file for file in selection.small if file.path != _FIRST])
        owner, model = repository.id.split("/")
        target = name or Name(owner, model)
        hints = tuple(dict.fromkeys((model, target.model)))
        paths = [file.path for file in (*selection.small, *selection.weights)]
        foreseen = preview({path: self.blobs.path(blob.hex) for path, blob in found.items()}, paths, hints, kind)
        chosen = selection.model_files(foreseen.index)
        totals.expect(chosen)
        found |= repository_files.ensure([file for file in chosen if file.path not in found])
        layers = tuple([_layer(file, found[file.path]) for file in chosen])
        findings = inspect({layer.path: self.blobs.path(layer.hex) for layer in layers}, hints, kind)
        source = Source(kind="hub", location=repository.id, revision=repository.commit)
        totals.report("writing manifest")
        ref = self.recorder.record(NewModel(target, source, (), findings.kind), findings, layers)
        self.pins.release(blob.hex for blob in found.values())
        totals.report("success", f"sha256:{ref.hex}")
        return ref

    def _files(self, found: Mapping[str, Blob]) -> ModelFiles:
        return ModelFiles({path: self.blobs.path(blob.hex) for path, blob in found.items()})


class _RepositoryFiles:
    """Makes blobs of files of one repository: from the store, from the hub's cache, or by downloading."""

    def __init__(self, pull: HubPull, repository: Repository, totals: Totals) -> None:
        self._pull = pull
        self._repository = repository
        self._totals = totals
        self._local_copies = LocalCopies(pull.blobs, pull.environ, repository, totals)

    def ensure(self, files: Sequence[HubFile]) -> dict[str, Blob]:
        """The blobs by path. Files of the same content share one."""
        found: dict[str, Blob] = {}
        missing: list[HubFile] = []
        for file in files:
            blob = self._find_locally(file, sum(each.size for each in files if each.path not in found))
            if blob is None:
                missing.append(file)
            else:
                found[file.path] = blob
        if missing:
            found |= self._download(missing)
        return found

    def _find_locally(self, file: HubFile, remaining: int) -> Blob | None:
        blob, status = self._local_copies.find(file), "already here"
        if blob is None:
            blob, status = self._local_copies.take_over(file, remaining), "taken from the hub's cache"
        if blob is not None:
            self._pull.pins.add(blob.hex)
            self._totals.report_file(status, file, file.size, blob.digest)
        return blob

    def _download(self, missing: Sequence[HubFile]) -> dict[str, Blob]:
        blobs = self._pull.blobs
        if self._pull.endpoint.offline:
            raise offline_error(
                f"{missing[0].path} of {self._repository.id} is not on this machine, and nothing is downloaded"
            )
        unique = {_content(file): file for file in missing}
        require_space(blobs, sum(file.size - allocated_bytes(blobs.partial, file) for file in unique.values()))
        origin = FetchSource(self._pull.endpoint, self._repository, self._pull.timeouts)
        downloader = Downloader(origin, blobs, self._pull.pins, self._totals, self._local_copies.find)
        fetched = downloader.fetch(list(unique.values()))
        return {file.path: fetched[unique[_content(file)].path] for file in missing}


def _refuse_early(files: ModelFiles, kind: Kind | None) -> None:
    """Raises UnsupportedModel for what config.json alone shows."""
    refuse_remote_code(files)
    model_type = files.object("config.json").get("model_type")
    if isinstance(model_type, str) and not any(
        architectures.known(model_type, each) for each in (KINDS if kind is None else (kind,))
    ):
        architectures.check(model_type, kind or "llm")


def _content(file: HubFile) -> str:
    return file.sha256 or file.git_id or ""


def _layer(file: HubFile, blob: Blob) -> Layer:
    return Layer(path=file.path, digest=blob.digest, size=blob.size, media_type=media_type(file.path) or "")
