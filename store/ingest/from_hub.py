"""One pull from the hub: list, look at the small files, refuse what cannot be served, then fetch the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..allowlist import media_type
from ..disk.blobs import Blob, Blobs
from ..disk.manifests import KINDS, Kind, Layer, Source
from ..disk.pins import Promised
from ..disk.refs import Ref
from ..errors import HubChanged
from ..hub.address import Address
from ..hub.fetch import timeouts as patience
from ..hub.fetch.download import Downloader
from ..hub.fetch.fetch_thread import Site
from ..hub.fetch.partial import taken
from ..hub.fetch.timeouts import Patience
from ..hub.fetch.totals import Tally
from ..hub.listing import list_repository
from ..hub.refusals import offline
from ..hub.remote import Endpoint
from ..hub.repository import HubFile, Repository
from ..hub.selection import select
from ..inspect import architectures
from ..inspect.configs import Files, refuse_remote_code
from ..inspect.findings import inspect
from ..inspect.preview import preview
from ..names import Name
from ..progress import Report
from .intake import need
from .recording import Order, Recorder
from .reuse import Present

_FIRST = "config.json"


@dataclass
class HubPull:
    """Carries out one pull. The caller holds the store's lock shared; an exception out of `report` ends the pull."""

    endpoint: Endpoint
    environ: Mapping[str, str]
    blobs: Blobs
    recorder: Recorder
    promised: Promised
    report: Report
    patience: Patience = field(default_factory=lambda: patience.USUAL)

    def run(self, address: Address, name: Name | None, kind: Kind | None) -> Ref:
        """The name, pointing at the new manifest, or at the old one when nothing has changed."""
        tally = Tally(self.report)
        repository = self._listed(address)
        try:
            return self._pull(repository, tally, name, kind)
        except HubChanged:
            # Somebody may just have pushed to it. Once more, from the listing; never a mix of two commits.
            again = self._listed(address)
            if again == repository:
                raise
            return self._pull(again, tally, name, kind)

    def _listed(self, address: Address) -> Repository:
        return list_repository(
            self.endpoint, address.repository, address.revision, report=self.report, environ=self.environ
        )

    def _pull(self, repository: Repository, tally: Tally, name: Name | None, kind: Kind | None) -> Ref:
        selection = select(repository)
        tally.expect((*selection.small, *selection.weights))
        tally.say("checking files")
        bringing = _Bringing(self, repository, tally)
        # The first file alone shows whether this user may have any, and whether the model can be served.
        found = bringing.bring([file for file in selection.small if file.path == _FIRST])
        _refuse(self._files(found), kind)
        found |= bringing.bring([file for file in selection.small if file.path != _FIRST])
        owner, model = repository.id.split("/")
        target = name or Name(owner, model)
        hints = tuple(dict.fromkeys((model, target.model)))
        paths = [file.path for file in (*selection.small, *selection.weights)]
        foreseen = preview({path: self.blobs.path(blob.hex) for path, blob in found.items()}, paths, hints, kind)
        chosen = selection.settled(foreseen.index)
        tally.expect(chosen)
        found |= bringing.bring([file for file in chosen if file.path not in found])
        layers = tuple([_layer(file, found[file.path]) for file in chosen])
        findings = inspect({layer.path: self.blobs.path(layer.hex) for layer in layers}, hints, kind)
        source = Source(kind="hub", location=repository.id, revision=repository.commit)
        tally.say("writing manifest")
        ref = self.recorder.record(Order(target, source, (), findings.kind), findings, layers)
        self.promised.fulfil(blob.hex for blob in found.values())
        tally.say("success", f"sha256:{ref.hex}")
        return ref

    def _files(self, found: Mapping[str, Blob]) -> Files:
        return Files({path: self.blobs.path(blob.hex) for path, blob in found.items()})


class _Bringing:
    """Gets files of one repository into the blobs, by whatever way is shortest."""

    def __init__(self, pull: HubPull, repository: Repository, tally: Tally) -> None:
        self._pull = pull
        self._repository = repository
        self._tally = tally
        self._present = Present(pull.blobs, pull.environ, repository, tally)

    def bring(self, files: Sequence[HubFile]) -> dict[str, Blob]:
        """The blobs by path. Two files of the same content are one."""
        found: dict[str, Blob] = {}
        missing: list[HubFile] = []
        for file in files:
            blob = self._here(file, sum(each.size for each in files if each.path not in found))
            if blob is None:
                missing.append(file)
            else:
                found[file.path] = blob
        if missing:
            found |= self._fetched(missing)
        return found

    def _here(self, file: HubFile, to_come: int) -> Blob | None:
        blob, status = self._present.find(file), "already here"
        if blob is None:
            blob, status = self._present.take_over(file, to_come), "taken from the hub's cache"
        if blob is not None:
            self._pull.promised.add(blob.hex)
            self._tally.tell(status, file, file.size, blob.digest)
        return blob

    def _fetched(self, missing: Sequence[HubFile]) -> dict[str, Blob]:
        blobs = self._pull.blobs
        if self._pull.endpoint.offline:
            raise offline(f"{missing[0].path} of {self._repository.id} is not here, and nothing is fetched")
        unique = {_content(file): file for file in missing}
        need(blobs, sum(file.size - taken(blobs.partial, file) for file in unique.values()))
        site = Site(self._pull.endpoint, self._repository, self._pull.patience)
        downloader = Downloader(site, blobs, self._pull.promised, self._tally, self._present.find)
        fetched = downloader.fetch(list(unique.values()))
        return {file.path: fetched[unique[_content(file)].path] for file in missing}


def _refuse(files: Files, kind: Kind | None) -> None:
    """What can be told from the first file alone."""
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
