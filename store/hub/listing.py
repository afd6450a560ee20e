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
from .hub_endpoint import HubEndpoint
from .hub_errors import hub_name, status_error, unreachable_error
from .repository import HubFile, Repository, checked_files, checked_path, file_url, hub_file, is_commit

if TYPE_CHECKING:
    from .hub_library import RequestBudget

__all__ = ["HubFile", "Repository", "file_url", "list_repository"]

SECONDS = 60.0
"""How long a listing may take, apart from pauses for the hub's rate limit."""
_REPORT_SECONDS = 0.25
_STATUS = "listing files"


def list_repository(
    endpoint: HubEndpoint,
    repository: str,
    revision: str | None,
    *,
    report: Report = silent,
    environ: Mapping[str, str] = os.environ,
) -> Repository:
    """Every file of `owner/name` at the commit that `revision` (None: the main branch) points to now.

    Offline, the files that the hub's cache holds. `report` is called a few times a second and may raise to end the
    listing. Raises HubError, and SourceError for unsafe file names.
    """
    wanted = checked_revision(revision) if revision is not None else None
    if len(parts := repository.split("/")) != 2 or not all(is_part(part) for part in parts):
        raise SourceError(f"{repository[:100]!r} is not a hub repository; write owner/name")
    report(Progress(_STATUS))
    if endpoint.offline:
        return list_cached(environ, repository, wanted)
    return _Listing(endpoint, repository, wanted).run(report)


@dataclass
class _Listing:
    """One listing in a thread of its own, so that neither a slow hub nor the library can block the caller."""

    endpoint: HubEndpoint
    repository: str
    revision: str | None
    _result: Repository | None = field(default=None, init=False)
    _failure: Exception | None = field(default=None, init=False)
    _done: threading.Event = field(default_factory=threading.Event, init=False)

    def run(self, report: Report) -> Repository:
        # Importing the library costs 13 MB and 0.15 s, so a daemon that only serves does not import it.
        from .hub_library import RequestBudget

        budget = RequestBudget(self.endpoint, time.monotonic() + SECONDS, _STATUS)
        threading.Thread(target=self._work, args=(budget,), name="hub-listing", daemon=True).start()
        try:
            while not self._done.wait(_REPORT_SECONDS):
                report(Progress(budget.status))
                if time.monotonic() > budget.deadline:
                    raise unreachable_error(self.endpoint, f"listing the files took longer than {SECONDS:.0f} s")
        finally:
            budget.stop.set()
        if self._failure is not None:
            raise self._failure
        if self._result is None:
            raise unreachable_error(self.endpoint, "the listing ended without a result")
        return self._result

    def _work(self, budget: RequestBudget) -> None:
        from .hub_library import StatusError, UnusableResponse

        try:
            self._result = self._listed(budget)
        except StatusError as error:
            self._failure = status_error(self.endpoint, self.repository, self.revision, error.status, error.headers)
        except UnusableResponse as error:
            self._failure = unreachable_error(self.endpoint, str(error))
        except StoreError as error:
            self._failure = error
        except Exception as error:  # The library does not check responses, so any exception is possible.
            self._failure = HubUnreachable(
                f"{hub_name(self.endpoint)} answered with something other than a file listing ({type(error).__name__})",
                hint="check HF_ENDPOINT, or pull again later",
            )
            self._failure.__cause__ = error
        finally:
            self._done.set()

    def _listed(self, budget: RequestBudget) -> Repository:
        from .hub_library import HubLibrary

        version = "unknown"
        with contextlib.suppress(metadata.PackageNotFoundError):
            version = metadata.version("mlx-serve")
        library = HubLibrary(budget, version)
        name, commit = library.resolve(self.repository, self.revision or "main")
        if not isinstance(name, str) or len(parts := name.split("/")) != 2 or not all(is_part(part) for part in parts):
            raise SourceError(
                f"the hub names {self.repository} {str(name)[:100]!a}, which is not a valid repository name"
            )
        if not is_commit(commit):
            raise SourceError(f"the hub states no commit for {self.repository}, so its files cannot be pinned")
        if is_commit(self.revision) and commit != self.revision:
            raise HubChanged(f"the hub returned commit {commit} of {self.repository} instead of {self.revision}")
        return Repository(name, commit, checked_files(_files(library.tree(name, commit))))


def _files(rows: Iterator[Any]) -> Iterator[HubFile]:
    from .hub_library import is_file

    for row in rows:
        path = checked_path(row.path)
        if is_file(row):
            large = row.lfs
            if large is not None and large.size != row.size:
                raise SourceError(f"the hub states two sizes for {path}, {row.size} and {large.size}")
            yield hub_file(path, row.size, None if large is None else large.sha256, row.blob_id)
        elif allowlist.media_type(path) is not None:
            raise SourceError(f"{path} is not a regular file in the repository")
