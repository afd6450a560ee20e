"""A hub repository at one commit: its files with size and digest, every name checked before use."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from .. import allowlist
from ..errors import SourceError
from .hub_endpoint import HubEndpoint

MAX_FILES = 100_000
_MAX_SIZE = 1 << 44
_LONGEST_PATH, _LONGEST_PART, _DEEPEST = 1024, 255, 64
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class HubFile:
    """`sha256` of a file in large storage, `git_id` (sha1 of "blob <size>\\0" and the content) of any other."""

    path: str
    size: int
    sha256: str | None
    git_id: str | None


@dataclass(frozen=True)
class Repository:
    """`id` as the hub spells it, `commit` 40 hex digits. `cached`: only the files that the hub's cache holds."""

    id: str
    commit: str
    files: tuple[HubFile, ...]
    cached: bool = False


def file_url(endpoint: HubEndpoint, repository: Repository, path: str) -> str:
    """The URL of a file at the commit of the listing."""
    return f"{endpoint.url}/{repository.id}/resolve/{repository.commit}/{quote(path, safe='/')}"


def is_commit(text: object) -> bool:
    return isinstance(text, str) and _COMMIT.fullmatch(text) is not None


def hub_file(path: object, size: object, sha256: object, git_id: object) -> HubFile:
    """One unchecked row of a listing. Raises SourceError for an unsafe name or an impossible size.

    An invalid digest is left out: `select` refuses a file without a digest, and files that are skipped need none.
    """
    name = checked_path(path)
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= _MAX_SIZE:
        raise SourceError(f"the hub states an impossible size for {name} ({str(size)[:40]})")
    large = sha256 if isinstance(sha256, str) and _SHA256.fullmatch(sha256) else None
    # The git id of a file in large storage is that of its pointer file.
    small = git_id if sha256 is None and is_commit(git_id) else None
    return HubFile(name, size, large, small if isinstance(small, str) else None)


def checked_path(path: object) -> str:
    """Refuse every name that git would not check out or that has a special meaning to a file system.

    Skipped files too: such a name does not arise by accident.
    """
    if not isinstance(path, str) or not path:
        raise SourceError("the hub lists a file without a name")
    parts = path.split("/")
    unsafe = (
        len(path) > _LONGEST_PATH
        or len(parts) > _DEEPEST
        or "\\" in path
        or _DRIVE.match(path) is not None
        or any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in path)
        or any(part in ("", ".", "..") or part.lower().rstrip(" .") == ".git" for part in parts)
        or any(len(part.encode("utf-8", "surrogatepass")) > _LONGEST_PART for part in parts)
    )
    if unsafe:
        raise SourceError(
            f"the repository has a file with an unsafe name, {path[:80]!a}",
            hint="nothing was downloaded; such a name is an attack or a broken upload",
        )
    return path


def checked_files(files: Iterable[HubFile]) -> tuple[HubFile, ...]:
    """All files, by path. Raises SourceError for a path listed twice, and for kept files that differ only in case."""
    found: dict[str, HubFile] = {}
    kept: dict[str, str] = {}
    for file in files:
        if file.path in found:
            raise SourceError(f"the hub lists {file.path[:80]!a} twice")
        found[file.path] = file
        if len(found) > MAX_FILES:
            raise SourceError(f"the repository has more than {MAX_FILES:,} files, which is more than any model needs")
        if allowlist.media_type(file.path) is not None:
            key = unicodedata.normalize("NFC", file.path).casefold()
            if (twin := kept.get(key)) is not None:
                raise SourceError(f"{twin} and {file.path} differ only in case, which not every file system supports")
            kept[key] = file.path
    return tuple(found[path] for path in sorted(found))
