"""Folders with a model's real file names, made of links to blobs, because loaders need a folder. Disposable."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import weakref
from pathlib import Path

from ..errors import DamagedModel
from .blobs import Blobs
from .filesystem import LITTER
from .locks import Lock
from .manifests import Layer, Manifest
from .scratch import VIEWS, Scratch

_MADE = re.compile(r"[0-9a-f]{64}")
_UNFINISHED = "unfinished-"


class Views:
    """The views of one store. The caller holds the store's lock shared."""

    def __init__(self, folder: Path, blobs: Blobs) -> None:
        self._folder = folder
        self._blobs = blobs
        self._private: Path | None = None

    def get(self, hex_digest: str, manifest: Manifest, *, read_only: bool) -> Path:
        """The model's folder, after a check that every blob exists with its size. Raises DamagedModel."""
        for layer in manifest.layers:
            problem = self._blobs.state(layer.hex, layer.size)
            if problem is not None:
                raise DamagedModel(
                    f"the model is incomplete: {layer.path} {problem}", hint="pull the model again to repair it"
                )
        ready = self._folder / hex_digest
        if _is_whole(ready, self._links(ready, manifest)):
            return ready
        return self._make(self._scratch() if read_only else self._folder, hex_digest, manifest)

    def stale(self, kept: set[str]) -> list[Path]:
        """Views of deleted manifests, and unfinished ones. Only under the exclusive lock."""
        return [
            path
            for path in self._folder.iterdir()
            if path.name.startswith(_UNFINISHED) or (_MADE.fullmatch(path.name) and path.name not in kept)
        ]

    def _make(self, folder: Path, hex_digest: str, manifest: Manifest) -> Path:
        target = folder / hex_digest
        links = self._links(target, manifest)
        with Lock(folder).exclusive():
            # Another thread or process may have made it while this one waited, and may use it already.
            if _is_whole(target, links):
                return target
            fresh = folder / f"{_UNFINISHED}{secrets.token_hex(8)}"
            try:
                self._fill(fresh, links)
                _move_away(target, folder)
                fresh.rename(target)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
        return target

    def _fill(self, folder: Path, links: dict[str, str]) -> None:
        self._blobs.disk.make_folder(folder)
        for path, destination in links.items():
            link = folder / path
            self._blobs.disk.make_folder(link.parent)
            link.symlink_to(destination)

    def _links(self, view: Path, manifest: Manifest) -> dict[str, str]:
        """Path -> link target. Relative within the store, so that the store can be moved."""
        relative = view.parent == self._folder
        return {layer.path: self._destination(layer, relative) for layer in manifest.layers}

    def _destination(self, layer: Layer, relative: bool) -> str:
        blob = self._blobs.path(layer.hex)
        if not relative:
            return str(blob.absolute())
        return "../" * (2 + layer.path.count("/")) + f"{blob.parent.name}/{blob.name}"

    def _scratch(self) -> Path:
        if self._private is None:
            scratch = Scratch.make(VIEWS)
            self._private = scratch.path / "views"  # one below, for `_make` locks the folder that it writes to
            self._private.mkdir()
            weakref.finalize(self, scratch.remove)
        return self._private


def _is_whole(view: Path, links: dict[str, str]) -> bool:
    """Whether a view has exactly these links and nothing else but what macOS leaves behind."""
    found: dict[str, str] = {}
    try:
        for folder, subfolders, files in os.walk(view, onerror=_raise):
            here = Path(folder)
            for path in [here / name for name in [*files, *subfolders] if name not in LITTER]:
                if path.is_symlink() or not path.is_dir():
                    found[path.relative_to(view).as_posix()] = str(path.readlink())
    except OSError:
        return False
    return found == links and not view.is_symlink()


def _raise(error: OSError) -> None:
    raise error


def _move_away(target: Path, folder: Path) -> None:
    moved = folder / f"{_UNFINISHED}{secrets.token_hex(8)}"
    try:
        target.rename(moved)
    except FileNotFoundError:
        return
    if moved.is_dir() and not moved.is_symlink():
        shutil.rmtree(moved, ignore_errors=True)
    else:
        moved.unlink(missing_ok=True)
