"""Names on disk: `refs/<owner>/<model>/<tag>`, one line `sha256:<hex>`; its rename is the only commit point."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import InvalidName
from ..names import Name
from .filesystem import LITTER, PERMANENT_ERRORS, FileSystem, read_regular
from .locks import Lock

_LINE = re.compile(r"sha256:([0-9a-f]{64})\n?")


@dataclass(frozen=True)
class Ref:
    """A name and the manifest (hex) it points to; `modified` in Unix seconds.

    `problem` is set instead of `hex` when the file is not a valid ref, `transient` as well when a retry may read it.
    """

    name: Name
    hex: str
    modified: float
    problem: str | None = None
    transient: bool = False


class Refs:
    """The refs of one store. Look-ups ignore case on every file system; the first writer's spelling is kept."""

    def __init__(self, folder: Path, partial: Path, disk: FileSystem) -> None:
        self._folder = folder
        self._partial = partial
        self._disk = disk
        self._lock = Lock(folder)

    def all(self) -> Iterator[Ref]:
        """Every ref, damaged ones too."""
        for name in self.names():
            if (ref := self._read(name)) is not None:
                yield ref

    def names(self) -> Iterator[Name]:
        """Every name, without reading its file; of names that differ only in case, the first."""
        seen: set[Name] = set()
        for owner in _folders(str(self._folder)):
            for model in _folders(owner.path):
                for tag in _entries(model.path):
                    try:
                        name = Name(owner.name, model.name, tag.name)
                    except InvalidName:
                        continue
                    if name not in seen:
                        seen.add(name)
                        yield name

    def get(self, name: Name) -> Ref | None:
        stored = self._stored(name)
        return self._read(stored) if stored is not None else None

    def set(self, name: Name, hex_digest: str) -> Ref:
        """Point a name to a stored manifest."""
        with self._changing():
            owner = _match(self._folder, name.owner) or name.owner
            model = _match(self._folder / owner, name.model) or name.model
            tag = _match(self._folder / owner / model, name.tag) or name.tag
            folder = self._folder
            for part in (owner, model):
                self._disk.make_folder(folder / part)
                self._disk.sync_folder(folder)
                folder = folder / part
            self._disk.replace(folder / tag, f"sha256:{hex_digest}\n".encode(), self._partial)
            stored = Name(owner, model, tag)
            return Ref(stored, hex_digest, (folder / tag).lstat().st_mtime)

    def remove(self, name: Name) -> bool:
        """False when there was no such ref."""
        with self._changing():
            stored = self._stored(name)
            if stored is None:
                return False
            path = self._path(stored)
            self._disk.unlink(path)
            self._disk.sync_folder(path.parent)
            for folder in (path.parent, path.parent.parent):
                if not self._remove_empty(folder):
                    break
            return True

    def _remove_empty(self, folder: Path) -> bool:
        """Whether the folder held nothing more, or only what macOS leaves behind, and is gone."""
        try:
            left = set(os.listdir(folder))  # noqa: PTH208 - names are enough
            if left and left <= LITTER:
                for name in left:
                    self._disk.unlink(folder / name)
            folder.rmdir()
        except OSError:
            return False
        return True

    @contextmanager
    def _changing(self) -> Iterator[None]:
        # Two spellings of a name must not become two folders, and a folder must not be removed while it is written to.
        with self._lock.exclusive():
            yield

    def _stored(self, name: Name) -> Name | None:
        owner = _match(self._folder, name.owner)
        model = _match(self._folder / owner, name.model) if owner else None
        tag = _match(self._folder / owner / model, name.tag) if owner and model else None
        return Name(owner, model, tag) if owner and model and tag else None

    def _path(self, name: Name) -> Path:
        return self._folder / name.owner / name.model / name.tag

    def _read(self, name: Name) -> Ref | None:
        path = self._path(name)
        try:
            text = read_regular(path, 128).decode("ascii", "replace")
            modified = path.lstat().st_mtime
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return Ref(name, "", 0.0, error.strerror or "cannot be read", transient=error.errno not in PERMANENT_ERRORS)
        match = _LINE.fullmatch(text)
        if match is None:
            return Ref(name, "", modified, problem="is not one line with a digest")
        return Ref(name, match[1], modified)


def _listing(folder: Path) -> list[str]:
    """The entries of a folder that is not a link; [] when there is no such folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return []
        raise
    try:
        return os.listdir(descriptor)  # noqa: PTH208 - a descriptor has no path
    finally:
        os.close(descriptor)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """As `_listing`, for folders that are known not to be links; sorted by name."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _folders(folder: str) -> list[os.DirEntry[str]]:
    return [entry for entry in _entries(folder) if entry.is_dir(follow_symlinks=False)]


def _match(folder: Path, wanted: str) -> str | None:
    """The entry with that name, ignoring case; an exact match first."""
    entries = _listing(folder)
    if wanted in entries:
        return wanted
    return next((entry for entry in sorted(entries) if entry.lower() == wanted.lower()), None)
