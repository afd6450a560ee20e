"""What an answer of the hub must be like before its body is believed, and what it means when it is not like that."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from ...errors import HubChanged, HubError, HubUnreachable
from ..remote import Endpoint, origin
from ..repository import HubFile, Repository
from .file_task import Piece
from .http_get import Reply
from .timeouts import Lost

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Refused(Lost):
    """A failure that may pass; `error` says it all when it does not."""

    def __init__(self, error: HubError) -> None:
        super().__init__(str(error))
        self.error = error


class Expired(Exception):
    """The address that the hub gave for a file is good no longer."""


class NoRanges(Exception):
    """The server does not send the part of the file that it was asked for."""


class Limited(Exception):
    """429. `until` in Unix seconds, None when it was not said."""

    def __init__(self, until: float | None, error: HubError) -> None:
        super().__init__(str(error))
        self.until = until
        self.error = error


class WrongBody(Exception):
    """What comes cannot be the file; `str()` says why."""


def checked(reply: Reply, piece: Piece) -> int:
    """How far the answer goes, before a byte of its body is read. Raises NoRanges, WrongBody."""
    size = piece.task.file.size
    encoding = reply.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise WrongBody(f"the server sent it packed ({encoding[:40]}){kind_of(reply)}")
    if is_whole(piece):
        if reply.status != 200:
            raise WrongBody(f"the server sent a part of it ({reply.status})")
        if reply.length is not None and reply.length != size:
            raise WrongBody(f"the server sent {reply.length} bytes instead of {size}{kind_of(reply)}")
        return size
    match = _RANGE.fullmatch(reply.headers.get("content-range", "").strip())
    if reply.status != 206 or match is None:
        raise NoRanges("the server ignores the range")
    start, stop = int(match[1]), int(match[2]) + 1
    if start != piece.start or not start < stop <= piece.stop or match[3] not in ("*", str(size)):
        raise NoRanges(f"the server sent another range ({match[0]})")
    if reply.length is not None and reply.length != stop - start:
        raise NoRanges("the server sent another number of bytes than it says")
    return stop


def is_whole(piece: Piece) -> bool:
    return piece.start == 0 and piece.stop == piece.task.file.size


def check_pinned(repository: Repository, file: HubFile, reply: Reply) -> None:
    """The hub still speaks of the commit and the content that it listed."""
    headers: Mapping[str, str] = reply.headers
    commit = headers.get("x-repo-commit", repository.commit)
    linked = headers.get("x-linked-etag") or (headers.get("etag", "") if reply.status < 300 else "")
    found = linked.strip().removeprefix("W/").strip('"').lower()
    wanted = file.sha256 or file.git_id or ""
    other = _DIGEST.fullmatch(found) is not None and len(found) == len(wanted) and found != wanted
    size = headers.get("x-linked-size", str(file.size)).strip()
    if commit.strip() != repository.commit or other or size != str(file.size):
        raise HubChanged(
            f"{file.path} of {repository.id} is another than the hub listed a moment ago",
            hint="pull again; somebody may just have changed the repository",
        )


def target_of(url: str, location: str | None, endpoint: Endpoint) -> str:
    """Where a redirect leads. Raises HubUnreachable for what is not followed."""
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
            f"the hub sends to an address that is not followed, {(location or '')[:100]!a}",
            hint="check HF_ENDPOINT and whether a proxy or a portal answers in the hub's place",
        )
    return target


def kind_of(reply: Reply) -> str:
    """The kind of content, for the sentence about why it is wrong."""
    kind = reply.headers.get("content-type", "").partition(";")[0].strip()[:60]
    return f" of {kind}" if kind.isprintable() and kind else ""
