"""The folders of a store and their version; created once, checked at every start.

<models dir>/
  version                     "1"; an unknown number is refused
  blobs/sha256-<64 hex>       immutable, 0444: the models' files, and manifests too
  partial/                    unfinished files, of which downloads can be resumed (see leftovers.py)
  refs/<owner>/<model>/<tag>  one line: the manifest's digest; replaced by rename, the only commit point
  views/<manifest hex>/       links with the real file names; disposable
  fingerprints                size, time and inode of each blob when it was last hashed; disposable
  lock                        flock: shared while reading or pulling, exclusive while sweeping
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ..errors import ReadOnlyStore, StoreError, StoreVersion, translated
from ..system import backups
from .filesystem import LITTER, FileSystem, read_regular
from .locks import Lock

VERSION = 1
_FOLDERS = ("partial", "blobs", "refs", "views")
_OWN = {*_FOLDERS, "lock", "version", "fingerprints"}
_NOT_BACKED_UP = ("partial", "blobs")
_IGNORED = {*LITTER, "lost+found"}


@dataclass(frozen=True)
class Layout:
    directory: Path
    read_only: bool

    @property
    def blobs(self) -> Path:
        return self.directory / "blobs"

    @property
    def partial(self) -> Path:
        return self.directory / "partial"

    @property
    def refs(self) -> Path:
        return self.directory / "refs"

    @property
    def views(self) -> Path:
        return self.directory / "views"

    @property
    def lock(self) -> Path:
        return self.directory / "lock"


def open_layout(directory: Path, disk: FileSystem) -> Layout:
    """Create what is missing, check the rest. Raises StoreVersion, ReadOnlyStore, StoreError."""
    directory = directory.expanduser().absolute()
    with translated(f"open the model store {directory}", lambda: disk.full(_nearest(directory))):
        if not directory.exists():
            directory.parent.mkdir(parents=True, exist_ok=True)
            disk.make_folder(directory)
            disk.sync_folder(directory.parent)
        read_only = not disk.writable(directory)
        _check_owner(directory, read_only)
        layout = Layout(directory, read_only)
        found = _version(directory)
        if found is not None and found != str(VERSION):
            raise StoreVersion(
                f"the model store {directory} has version {found[:20]!r}; this mlx-serve supports version {VERSION}",
                hint="upgrade mlx-serve, or set MLX_SERVE_MODELS_DIR to another folder",
            )
        if read_only:
            if found is None:
                raise ReadOnlyStore
            return layout
        if found is None:
            _check_empty(directory)
        for name in _FOLDERS:
            disk.make_folder(directory / name)
        for name in _NOT_BACKED_UP:
            backups.exclude(directory / name)
        Lock(layout.lock).create()
        if found is None:
            disk.sync_folder(directory)
            disk.replace(directory / "version", f"{VERSION}\n".encode(), layout.partial)
        return layout


def _nearest(directory: Path) -> Path:
    """The folder itself, or the nearest existing one above it."""
    return next(path for path in (directory, *directory.parents) if path.exists())


def _version(directory: Path) -> str | None:
    try:
        return read_regular(directory / "version", 64).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None


def _check_owner(directory: Path, read_only: bool) -> None:
    status = directory.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise StoreError(f"{directory} is not a folder", hint="set MLX_SERVE_MODELS_DIR to a folder")
    if status.st_uid != os.geteuid() and not (read_only and status.st_uid == 0):
        raise StoreError(
            f"the model store {directory} belongs to another user",
            hint="set MLX_SERVE_MODELS_DIR to a folder of your own",
        )
    if status.st_mode & 0o022 and not read_only:
        raise StoreError(f"other users may write to the model store {directory}", hint=f"run: chmod go-w {directory}")


def _check_empty(directory: Path) -> None:
    foreign = sorted({path.name for path in directory.iterdir()} - _OWN - _IGNORED)
    if foreign:
        raise StoreError(
            f"{directory} is neither empty nor a model store (it contains {foreign[0][:100]!r})",
            hint="set MLX_SERVE_MODELS_DIR to an empty or new folder",
        )
