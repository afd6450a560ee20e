"""Checks a response of the hub before its body is read, and says what went wrong where a check fails."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from ...errors import HubChanged, HubError, HubUnreachable
from ..hub_endpoint import HubEndpoint, origin
from ..repository import HubFile, Repository
from .file_task import FilePiece
from .http_client import HttpResponse
from .timeouts import ConnectionLost

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class TemporaryRefusal(ConnectionLost):
    """A failure that a later try may not meet; `error` is the one to raise after the last try."""

    def __init__(self, error: HubError) -> None:
        super().__init__(str(error))
        self.error = error


class UrlExpired(Exception):
    """The signed URL that the hub gave for a file has expired."""


class RangeNotServed(Exception):
    """The server did not send the byte range that was requested."""


class TooManyRequests(Exception):
    """Status 429. `until` in Unix seconds, None when the response does not say."""

    def __init__(self, until: float | None, error: HubError) -> None:
        super().__init__(str(error))
        self.until = until
        self.error = error


class WrongBody(Exception):
    """The body cannot be the file; `str()` says why."""


def checked_stop(response: HttpResponse, piece: FilePiece) -> int:
    """Where the body ends in the file, before a byte of it is read. Raises RangeNotServed, WrongBody."""
    size = piece.task.file.size
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise WrongBody(f"the server sent it compressed ({encoding[:40]}){content_kind(response)}")
    if is_whole(piece):
        if response.status != 200:
            raise WrongBody(f"the server sent only a part of it (status {response.status})")
        if response.length is not None and response.length != size:
            raise WrongBody(f"the server sent {response.length} bytes instead of {size}{content_kind(response)}")
        return size
    match = _RANGE.fullmatch(response.headers.get("content-range", "").strip())
    if response.status != 206 or match is None:
        raise RangeNotServed("the server ignores Range requests")
    start, stop = int(match[1]), int(match[2]) + 1
    if start != piece.start or not start < stop <= piece.stop or match[3] not in ("*", str(size)):
        raise RangeNotServed(f"the server sent another range ({match[0]})")
    if response.length is not None and response.length != stop - start:
        raise RangeNotServed("the server sent a Content-Length that differs from its Content-Range")
    return stop


def is_whole(piece: FilePiece) -> bool:
    return piece.start == 0 and piece.stop == piece.task.file.size


def check_pinned(repository: Repository, file: HubFile, response: HttpResponse) -> None:
    """Raises HubChanged unless commit, digest and size are those of the listing."""
    headers: Mapping[str, str] = response.headers
    commit = headers.get("x-repo-commit", repository.commit)
    linked = headers.get("x-linked-etag") or (headers.get("etag", "") if response.status < 300 else "")
    found = linked.strip().removeprefix("W/").strip('"').lower()
    wanted = file.sha256 or file.git_id or ""
    other = _DIGEST.fullmatch(found) is not None and len(found) == len(wanted) and found != wanted
    size = headers.get("x-linked-size", str(file.size)).strip()
    if commit.strip() != repository.commit or other or size != str(file.size):
        raise HubChanged(
            f"{file.path} of {repository.id} differs from what the hub listed a moment ago",
            hint="pull again; the repository may just have been updated",
        )


def redirect_target(url: str, location: str | None, endpoint: HubEndpoint) -> str:
    """The URL that a redirect leads to. Raises HubUnreachable for one that is not followed."""
    try:
        target = urljoin(url, location or "")
        parts = urlsplit(target)
        scheme, host, _ = origin(target)
    except ValueError:
        parts, scheme, host, target = urlsplit(""), "", "", ""
    plain = target.isascii() and target.isprintable() and " " not in target and "\\" not in target
    secure = scheme == "https" or (scheme == "http" and endpoint.origin[0] == "http")
    if not location or not plain or not secure or not host or "@" in parts.netloc:
        raise HubUnreachable(
            f"the hub redirects to a URL that is not followed: {(location or '')[:100]!a}",
            hint="check HF_ENDPOINT, and whether a proxy or a login page answers for the hub",
        )
    return target


def content_kind(response: HttpResponse) -> str:
    """The content type, as an addition to an error sentence."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip()[:60]
    return f" of {kind}" if kind.isprintable() and kind else ""
