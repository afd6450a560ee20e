"""Lists a hub repository at a pinned commit, through the real huggingface_hub, within fixed limits."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

from .. import allowlist
from ..errors import HubChanged, HubUnreachable, SourceError, StoreError
from ..progress import Progress, Report, silent
from .address import checked_revision, is_part
from .cache import list_cached
from .refusals import name_of, refusal, unreachable
from .remote import Endpoint
from .repository import HubFile, Repository, checked_files, checked_path, file_url, hub_file, is_commit

if TYPE_CHECKING:
    from .library import Leash

__all__ = ["HubFile", "Repository", "file_url", "list_repository"]

SECONDS = 60.0
"""How long a listing may take, not counting the pauses that the hub asks for."""
_PULSE = 0.25
_STATUS = "listing files"


def list_repository(
    endpoint: Endpoint,
    repository: str,
    revision: str | None,
    *,
    report: Report = silent,
    environ: Mapping[str, str] = os.environ,
) -> Repository:
    """Every file of `owner/name` at the commit that `revision` (None: the main branch) stands for now.

    Offline, the same out of the hub's cache. `report` is called a few times a second, and an exception out of it ends
    the listing at once. Raises HubError and its kin, SourceError for unsafe names.
    """
    wanted = checked_revision(revision) if revision is not None else None
    if len(parts := repository.split("/")) != 2 or not all(is_part(part) for part in parts):
        raise SourceError(f"{repository[:100]!r} names no repository of the hub")
    report(Progress(_STATUS))
    if endpoint.offline:
        return list_cached(environ, repository, wanted)
    return _Listing(endpoint, repository, wanted).run(report)


@dataclass
class _Listing:
    """One listing, done by a thread of its own, so that neither a slow hub nor the library can hold the caller."""

    endpoint: Endpoint
    repository: str
    revision: str | None
    _result: Repository | None = field(default=None, init=False)
    _failure: Exception | None = field(default=None, init=False)
    _done: threading.Event = field(default_factory=threading.Event, init=False)

    def run(self, report: Report) -> Repository:
        # The library costs 13 MB and 0.15 s, which a daemon that only serves never pays.
        from .library import Leash

        leash = Leash(self.endpoint, time.monotonic() + SECONDS, _STATUS)
        threading.Thread(target=self._work, args=(leash,), name="hub-listing", daemon=True).start()
        try:
            while not self._done.wait(_PULSE):
                report(Progress(leash.status))
                if time.monotonic() > leash.deadline:
                    raise unreachable(self.endpoint, f"listing took longer than {SECONDS:.0f} s")
        finally:
            leash.stop.set()
        if self._failure is not None:
            raise self._failure
        if self._result is None:
            raise unreachable(self.endpoint, "the listing ended without a result")
        return self._result

    def _work(self, leash: Leash) -> None:
        from .library import Refused, Unusable

        try:
            self._result = self._listed(leash)
        except Refused as refused:
            self._failure = refusal(self.endpoint, self.repository, self.revision, refused.status, refused.headers)
        except Unusable as error:
            self._failure = unreachable(self.endpoint, str(error))
        except StoreError as error:
            self._failure = error
        except Exception as error:  # The library reads answers without checking them, so anything can come out.
            self._failure = HubUnreachable(
                f"{name_of(self.endpoint)} answered with something that is no listing ({type(error).__name__})",
                hint="check HF_ENDPOINT, or pull again later",
            )
            self._failure.__cause__ = error
        finally:
            self._done.set()

    def _listed(self, leash: Leash) -> Repository:
        from .library import Library

        version = "unknown"
        with contextlib.suppress(metadata.PackageNotFoundError):
            version = metadata.version("mlx-serve")
        library = Library(leash, version)
        name, commit = library.resolve(self.repository, self.revision or "main")
        if not isinstance(name, str) or len(parts := name.split("/")) != 2 or not all(is_part(part) for part in parts):
            raise SourceError(f"the hub calls {self.repository} {str(name)[:100]!a}, which is no name of a repository")
        if not is_commit(commit):
            raise SourceError(f"the hub names no commit for {self.repository}, so nothing could be pinned to it")
        if is_commit(self.revision) and commit != self.revision:
            raise HubChanged(f"the hub gave commit {commit} of {self.repository} instead of {self.revision}")
        return Repository(name, commit, checked_files(_files(library.tree(name, commit))))


def _files(rows: Iterator[Any]) -> Iterator[HubFile]:
    from .library import is_file

    for row in rows:
        path = checked_path(row.path)
        if is_file(row):
            large = row.lfs
            if large is not None and large.size != row.size:
                raise SourceError(f"the hub gives {path} two sizes, {row.size} and {large.size}")
            yield hub_file(path, row.size, None if large is None else large.sha256, row.blob_id)
        elif allowlist.media_type(path) is not None:
            raise SourceError(f"{path} is not a regular file in the repository")
