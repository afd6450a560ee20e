"""This user's huggingface_hub cache: files in it need not be downloaded. Read only, never changed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ..disk.filesystem import read_regular
from ..errors import SourceError
from .hub_endpoint import cache_folder
from .hub_errors import offline_error
from .repository import MAX_FILES, HubFile, Repository, checked_files, hub_file, is_commit

_TREE_LIMIT = 64 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


def find_cached(environ: Mapping[str, str], repository: Repository, file: HubFile) -> Path | None:
    """The path of a file in the cache, by its digest or in the commit's snapshot; the content is not checked."""
    folder = cache_folder(environ) / _folder_name(repository.id)
    places = [folder / "snapshots" / repository.commit / file.path]
    if digest := file.sha256 or file.git_id:
        places.insert(0, folder / "blobs" / digest)
    for place in places:
        try:
            real = place.resolve(strict=True)
            if real.is_file() and real.stat().st_size == file.size and os.access(real, os.R_OK):
                return real
        except (OSError, RuntimeError):  # RuntimeError: a loop of links, before Python 3.13
            continue
    return None


def list_cached(environ: Mapping[str, str], repository: str, revision: str | None) -> Repository:
    """The files of a repository that the cache holds. Raises HubUnreachable."""
    cache = cache_folder(environ)
    name = _cached_name(cache, repository)
    if name is None:
        raise offline_error(f"{repository} is not in the hub's cache ({cache}), and nothing is downloaded")
    folder = cache / _folder_name(name)
    commit = _commit(folder, revision or "main")
    snapshot = folder / "snapshots" / commit if commit else folder
    if commit is None or not snapshot.is_dir():
        raise offline_error(
            f"the hub's cache has no revision {revision or 'main'!r} of {repository}, and nothing is downloaded"
        )
    files = checked_files(_files(snapshot, _tree(folder, commit)))
    return Repository(name, commit, files, cached=True)


def _folder_name(repository: str) -> str:
    return "models--" + repository.replace("/", "--")


def _cached_name(cache: Path, repository: str) -> str | None:
    """The repository's name in the spelling of the cache, which is the hub's."""
    wanted = _folder_name(repository).lower()
    try:
        names = sorted(entry.name for entry in os.scandir(cache) if entry.name.lower() == wanted)
    except OSError:
        return None
    if not names:
        return None
    # Cut by the owner's length, because a name may contain "--" itself.
    found = _folder_name(repository) if _folder_name(repository) in names else names[0]
    owner = found[len("models--") :][: repository.index("/")]
    return f"{owner}/{found[len('models--') + len(owner) + 2 :]}"


def _commit(folder: Path, revision: str) -> str | None:
    if is_commit(revision):
        return revision
    try:
        found = read_regular(folder / "refs" / revision, 256).decode("ascii", "replace").strip()
    except OSError:
        return None
    return found if is_commit(found) else None


def _tree(folder: Path, commit: str) -> dict[str, Any]:
    """The file list of a commit that huggingface_hub >= 2.4 stores in the cache; {} without one."""
    try:
        document = json.loads(read_regular(folder / "trees" / f"{commit}.json", _TREE_LIMIT))
    except (OSError, ValueError, RecursionError):
        return {}
    files = document.get("files") if isinstance(document, dict) else None
    return files if isinstance(files, dict) else {}


def _files(snapshot: Path, tree: Mapping[str, Any]) -> Iterator[HubFile]:
    """The files of a snapshot with a known digest, from the linked blob's name or from the file list."""
    for path in islice(_walk(snapshot), MAX_FILES + 1):
        location = snapshot / path
        try:
            size = location.stat().st_size if location.is_file() else None
            blob = location.readlink().name if location.is_symlink() else ""
        except OSError:
            continue
        noted = tree.get(path)
        noted = noted if isinstance(noted, dict) else {}
        large = noted.get("lfs_sha256") or (blob if _SHA256.fullmatch(blob) else None)
        small = blob if is_commit(blob) else noted.get("blob_id")
        if size is not None and (large or small):
            try:
                yield hub_file(path, size, large, small)
            except SourceError:
                continue


def _walk(snapshot: Path) -> Iterator[str]:
    for folder, _, names in os.walk(snapshot):
        here = Path(folder).relative_to(snapshot)
        for name in names:
            yield (here / name).as_posix()
