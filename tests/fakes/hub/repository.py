"""One repository of the test hub: commits that never change, branches and tags that point at them, and who may read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes.hub.contents import Content, git_id, is_large

Data = bytes | str | Path | Content
Lfs = Callable[[str, Content], bool]


@dataclass(frozen=True)
class File:
    """A file of a commit. `etag` is what the hub calls it: the sha256 in LFS, else git's id of the blob."""

    path: str
    content: Content
    lfs: bool

    @property
    def etag(self) -> str:
        return self.content.sha256 if self.lfs else self.content.git_id

    @property
    def blob_id(self) -> str:
        return git_id(self.content.pointer) if self.lfs else self.content.git_id


@dataclass(frozen=True)
class Commit:
    """`id` follows from the files and the commit before: 40 hex digits."""

    id: str
    files: Mapping[str, File]


@dataclass
class Repository:
    """`private`: nobody without a token in `allowed` sees it. `gated`: all see the listing, `allowed` get the files.

    `extra_tree`: entries of the listing as they are, for files that are not there or have evil names. `lies`: fields of
    an entry by path that replace the true ones, such as `{"model.safetensors": {"size": 7}}`; in the field "lfs" one by
    one. `xet`: says so, as the hub does now.
    """

    id: str
    private: bool = False
    gated: bool = False
    allowed: Collection[str] = ()
    xet: bool = False
    extra_tree: list[dict[str, Any]] = field(default_factory=list)
    lies: dict[str, dict[str, Any]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    def commit(
        self, files: Mapping[str, Data], *, branch: str = "main", lfs: Lfs | Collection[str] | None = None
    ) -> str:
        """The id of a new commit with exactly these files. What was there before stays under its old id.

        `lfs`: which files are large, by a question or by their paths; usually as the hub would have it.
        """
        large = lfs if callable(lfs) else is_large if lfs is None else lambda path, _: path in lfs
        found = {path: content(data) for path, data in files.items()}
        made = {path: File(path, each, large(path, each)) for path, each in sorted(found.items())}
        summary = "\n".join(
            [self.id, self.branches.get(branch, ""), *(f"{path} {file.blob_id}" for path, file in made.items())]
        )
        commit = Commit(hashlib.sha1(summary.encode("utf-8", "surrogatepass")).hexdigest(), made)
        self.commits[commit.id] = commit
        self.branches[branch] = commit.id
        return commit.id

    def update(self, changes: Mapping[str, Data | None], *, branch: str = "main") -> str:
        """A new commit with some files changed, new, or (None) gone."""
        files = dict(self.commits[self.branches[branch]].files)
        large = {path for path, file in files.items() if file.lfs}
        merged: dict[str, Data] = {path: file.content for path, file in files.items()}
        for path, data in changes.items():
            if data is None:
                del merged[path]
            else:
                merged[path] = data
        return self.commit(merged, branch=branch, lfs=lambda path, it: path in large or is_large(path, it))

    def tag(self, name: str, commit: str | None = None) -> None:
        self.tags[name] = commit or self.branches["main"]

    def find(self, revision: str) -> Commit | None:
        """By branch, tag, pull request's ref or commit; a beginning of a commit's id will do."""
        known = self.branches.get(revision.removeprefix("refs/heads/")) or self.tags.get(revision)
        if known is not None:
            return self.commits[known]
        if len(revision) >= 7:
            return next((commit for id, commit in self.commits.items() if id.startswith(revision)), None)
        return None

    @property
    def head(self) -> Commit:
        return self.commits[self.branches["main"]]

    @property
    def size(self) -> int:
        """Bytes of all files of the newest commit."""
        return sum(file.content.size for file in self.head.files.values())

    def readable(self, token: str | None) -> bool:
        return token in self.allowed

    def close(self) -> None:
        for commit in self.commits.values():
            for file in commit.files.values():
                file.content.close()


def content(data: Data) -> Content:
    if isinstance(data, Content):
        return data
    return Content(data.encode() if isinstance(data, str) else data)
