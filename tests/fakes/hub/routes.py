"""Which request gets which answer: the hub's own routes, and those of the CDN that it sends large files from."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Any
from urllib.parse import quote, unquote, urlencode

from fakes.hub.answers import Answer, document, file_answer, redirect, refusal
from fakes.hub.journal import Request
from fakes.hub.repository import Commit, File, Repository

_NO_USER = "Invalid username or password."
_GATED = (
    "Access to model {} is restricted. You must have access to it and be authenticated to access it. Please log in."
)
_NOT_LISTED = "Access to model {0} is restricted and you are not in the authorized list. Visit {0} to ask for access."


class Routes:
    """The repositories and how to reach them. `hub_url` and `cdn_url` are known once the ports are."""

    def __init__(self, tokens: Collection[str], page_size: int) -> None:
        self.repositories: dict[str, Repository] = {}
        self.renamed: dict[str, str] = {}
        self.tokens = set(tokens)
        self.page_size = page_size
        self.endless_links = False
        self.hub_url = self.cdn_url = ""
        self._signed: dict[str, File] = {}

    def answer(self, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return refusal(405, None, "Method not allowed")
        path = request.raw_path
        if request.host == "cdn":
            return self._cdn(request)
        if request.token is not None and request.token not in self._known_tokens():
            return refusal(401, None, "Invalid credentials in Authorization header")
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "whoami-v2"]:
            return document({"type": "user", "name": "reader"}) if request.token else refusal(401, None, _NO_USER)
        if parts[:2] == ["api", "models"]:
            return self._api(request, parts[2:])
        if parts[:3] == ["api", "resolve-cache", "models"]:
            return self._small(request, parts[3:])
        return self._resolve(request, parts)

    def forget_signatures(self) -> None:
        """The CDN's addresses given out so far are no good any more."""
        self._signed.clear()

    # the API

    def _api(self, request: Request, parts: list[str]) -> Answer:
        cut = next((at for at, part in enumerate(parts[:3]) if at and part in ("revision", "tree")), len(parts))
        found = self._repository(request, "/".join(parts[:cut]), prefix="/api/models/", rest=parts[cut:])
        if isinstance(found, Answer):
            return found
        revision = unquote(parts[cut + 1]) if len(parts) > cut + 1 else "main"
        commit = found.find(revision)
        if commit is None:
            return refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if parts[cut : cut + 1] == ["tree"]:
            return self._tree(request, found, commit, unquote("/".join(parts[cut + 2 :])))
        return document(self._info(found, commit, "blobs" in request.query), {"X-Repo-Commit": commit.id})

    def _info(self, repository: Repository, commit: Commit, blobs: bool) -> dict[str, Any]:
        siblings = []
        for entry in _entries(repository, commit):
            if entry.get("type") != "file":
                continue
            sibling: dict[str, Any] = {"rfilename": entry["path"]}
            if blobs:
                sibling |= {"blobId": entry.get("oid"), "size": entry.get("size")}
                if (lfs := entry.get("lfs")) is not None:
                    sibling["lfs"] = {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": lfs["pointerSize"]}
            siblings.append(sibling)
        return {
            "_id": secrets.token_hex(12),
            "id": repository.id,
            "modelId": repository.id,
            "author": repository.id.split("/")[0],
            "sha": commit.id,
            "private": repository.private,
            "gated": "auto" if repository.gated else False,
            "disabled": False,
            "downloads": 7,
            "likes": 1,
            "tags": [],
            "createdAt": "2025-04-27T03:40:08.000Z",
            "lastModified": "2025-07-26T03:46:27.000Z",
            "siblings": siblings,
            "spaces": [],
            "usedStorage": sum(file.content.size for file in commit.files.values()),
        }

    def _tree(self, request: Request, repository: Repository, commit: Commit, below: str) -> Answer:
        entries = [entry for entry in _entries(repository, commit) if _is_below(entry["path"], below)]
        if below and not entries:
            return refusal(404, "EntryNotFound", f'{below} does not exist on "{commit.id}"')
        if request.query.get("recursive", "false").lower() not in ("true", "1"):
            depth = below.count("/") + 2 if below else 1
            entries = [entry for entry in entries if entry["path"].count("/") < depth]
        start = int(request.query.get("cursor", "0") or 0)
        size = min(int(request.query.get("limit", self.page_size)), self.page_size)
        headers = {"X-Repo-Commit": commit.id}
        if start + size < len(entries) or self.endless_links:
            query = {**request.query, "cursor": str(start + size)}
            headers["Link"] = f'<{self.hub_url}{request.raw_path}?{urlencode(query)}>; rel="next"'
        return document(entries[:size] if self.endless_links else entries[start : start + size], headers)

    # files

    def _resolve(self, request: Request, parts: list[str]) -> Answer:
        cut = next((at for at, part in enumerate(parts[:3]) if at and part == "resolve"), None)
        if cut is None or len(parts) < cut + 3:
            return refusal(404, None, "Sorry, we can't find the page you are looking for.")
        found = self._repository(request, "/".join(parts[:cut]), prefix="/", rest=parts[cut:])
        if isinstance(found, Answer):
            return found
        revision, path = unquote(parts[cut + 1]), unquote("/".join(parts[cut + 2 :]))
        commit = found.find(revision)
        if commit is None:
            return refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if found.gated and path not in ("README.md", ".gitattributes") and not found.readable(request.token):
            if request.token is None:
                return refusal(401, "GatedRepo", _GATED.format(found.id))
            return refusal(403, "GatedRepo", _NOT_LISTED.format(f"{self.hub_url}/{found.id}"))
        file = commit.files.get(path)
        if file is None:
            return refusal(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit.id, "Access-Control-Allow-Origin": self.hub_url}
        if not file.lfs:
            location = f"/api/resolve-cache/models/{found.id}/{commit.id}/{quote(path)}"
            query = urlencode({"/".join(parts): "", "etag": f'"{file.etag}"'})
            headers |= {"X-Linked-Size": str(file.content.size), "ETag": f'"{file.etag}"'}
            return redirect(307, f"{location}?{query}", headers)
        headers |= {"X-Linked-Size": str(file.content.size), "X-Linked-ETag": f'"{file.etag}"'}
        if found.xet:
            headers["X-Xet-Hash"] = file.content.sha256
            headers["Link"] = f'<{self.hub_url}/api/models/{found.id}/xet-read-token/{commit.id}>; rel="xet-auth"'
        return redirect(302, self._sign(found, commit, file), headers)

    def _small(self, request: Request, parts: list[str]) -> Answer:
        """What the hub keeps close at hand: small files of a commit."""
        for length in (2, 1):
            repository = self.repositories.get("/".join(parts[:length]))
            commit = repository and len(parts) > length and repository.commits.get(parts[length])
            if repository and commit:
                file = commit.files.get(unquote("/".join(parts[length + 1 :])))
                if file is not None and (not repository.gated or repository.readable(request.token)):
                    headers = {"X-Repo-Commit": commit.id, "ETag": f'"{file.etag}"'}
                    return file_answer(file.content, headers | _disposition(file))
        return refusal(404, "EntryNotFound", "Entry not found")

    def _sign(self, repository: Repository, commit: Commit, file: File) -> str:
        signature = secrets.token_urlsafe(24)
        self._signed[signature] = file
        path = f"/repos/{repository.id}/{commit.id}/{quote(file.path)}"
        query = urlencode({"X-Amz-Expires": "3600", "X-Amz-Signature": signature, "x-id": "GetObject"})
        return f"{self.cdn_url}{path}?{query}"

    def _cdn(self, request: Request) -> Answer:
        file = self._signed.get(request.query.get("X-Amz-Signature", ""))
        if file is None:
            body = (
                b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>'
            )
            return Answer("error", 403, {"Content-Type": "application/xml"}, body)
        return file_answer(file.content, {"ETag": f'"{file.content.sha256[:32]}"', **_disposition(file)})

    # who may

    def _known_tokens(self) -> set[str]:
        return self.tokens.union(*(repository.allowed for repository in self.repositories.values()))

    def _repository(self, request: Request, id: str, prefix: str, rest: list[str]) -> Repository | Answer:
        """The repository, a redirect to its present name, or the hub's word for one that is not to be seen."""
        id = unquote(id)
        spelt = self.renamed.get(id) or next((known for known in self.repositories if known.lower() == id.lower()), id)
        if spelt != id:
            query = f"?{urlencode(request.query)}" if request.query else ""
            return redirect(307, prefix + "/".join([spelt, *rest]) + query)
        repository = self.repositories.get(id)
        if repository is None or (repository.private and not repository.readable(request.token)):
            if request.token is None:
                return refusal(401, "RepoNotFound", _NO_USER)
            return refusal(404, "RepoNotFound", "Repository not found")
        return repository


def _entries(repository: Repository, commit: Commit) -> list[dict[str, Any]]:
    """The listing of everything in a commit, folders too, with the repository's lies."""
    folders = {"/".join(path.split("/")[:end]) for path in commit.files for end in range(1, path.count("/") + 1)}
    listed: list[dict[str, Any]] = [
        {"type": "directory", "oid": commit.id, "size": 0, "path": folder} for folder in sorted(folders)
    ]
    for path, file in commit.files.items():
        entry: dict[str, Any] = {"type": "file", "oid": file.blob_id, "size": file.content.size, "path": path}
        if file.lfs:
            size = len(file.content.pointer)
            entry["lfs"] = {"oid": file.content.sha256, "size": file.content.size, "pointerSize": size}
            if repository.xet:
                entry["xetHash"] = file.content.sha256
        lies = dict(repository.lies.get(path, {}))
        if "lfs" in entry and isinstance(lies.get("lfs"), dict):
            lies["lfs"] = entry["lfs"] | lies["lfs"]
        listed.append({name: value for name, value in (entry | lies).items() if value is not None})
    return [*listed, *repository.extra_tree]


def _is_below(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")


def _disposition(file: File) -> dict[str, str]:
    name = quote(file.path.split("/")[-1])
    return {"Content-Disposition": f"inline; filename*=UTF-8''{name}; filename=\"{name}\";"}
