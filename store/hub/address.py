"""A repository as users write it: `owner/name`, `owner/name@revision`, or a URL copied from the browser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from ..errors import SourceError
from .hub_endpoint import DEFAULT_URL

_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
_REVISION = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._/+-]{0,198}[A-Za-z0-9_+-])?")
_HOSTS = ("huggingface.co/", "www.huggingface.co/", "hf.co/")
_VIEWS = ("tree", "blob", "resolve", "commit")
_OTHER_KINDS = ("datasets", "spaces", "collections", "papers")


@dataclass(frozen=True)
class Address:
    """`repository` is `owner/name`; `revision` a branch, a tag or a commit, None for the main branch."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repository if self.revision is None else f"{self.repository}@{self.revision}"


def parse(text: str, endpoint_url: str = DEFAULT_URL) -> Address:
    """Raises SourceError for a text that cannot be a repository."""
    path = _path(text.strip(), endpoint_url)
    path, _, revision = path.partition("@")
    parts = path.split("/")
    if parts[0] in _OTHER_KINDS:
        raise SourceError(f"{_quoted(text)} is not a model; {parts[0]} cannot be served")
    if len(parts) > 3 and parts[2] in _VIEWS and not revision:
        # A URL from the browser: owner/name/tree/<revision>, or owner/name/blob/<revision>/<path>.
        revision = "/".join(parts[3:]) if parts[2] in ("tree", "commit") else parts[3]
        parts = parts[:2]
    if len(parts) == 2 and ":" in parts[1]:
        raise SourceError(
            f"{_quoted(text)} has a tag, but hub repositories have no tags",
            hint=f"write {parts[0]}/{parts[1].partition(':')[0]}, with @revision for a branch other than main",
        )
    if len(parts) != 2 or not all(is_part(part) for part in parts):
        raise SourceError(f"{_quoted(text)} is not a hub repository", hint="write owner/name or owner/name@revision")
    return Address("/".join(parts), checked_revision(revision) if revision or "@" in text else None)


def is_part(text: str) -> bool:
    """Whether the hub allows this as an owner's or a model's name."""
    return _PART.fullmatch(text) is not None and ".." not in text and "--" not in text and not text.endswith(".git")


def checked_revision(text: str) -> str:
    """Raises SourceError."""
    if _REVISION.fullmatch(text) is None or ".." in text or "//" in text:
        raise SourceError(f"{_quoted(text)} is not a valid revision", hint="a revision is a branch, a tag or a commit")
    return text


def _path(text: str, endpoint_url: str) -> str:
    bare = re.sub(r"^https?://", "", text)
    own = urlsplit(endpoint_url)
    for host in (*_HOSTS, f"{own.netloc}{own.path}/"):
        if bare.lower().startswith(host.lower()):
            return unquote(bare[len(host) :].split("?")[0].split("#")[0]).strip("/")
    if bare != text:
        raise SourceError(
            f"{_quoted(text)} is not a URL of the configured hub",
            hint="write owner/name; set HF_ENDPOINT to use another hub",
        )
    return text


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:100] + "…")
