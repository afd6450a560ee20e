"""The folder of the models: whether it is a store of ours, can be written, and has room."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..display.tables import size
from .finding import Finding

VERSION = "1"
"""The version of the store that this mlx-serve reads."""
_LITTER = {".DS_Store", ".localized", "lost+found"}
_SCARCE = 10_000_000_000
_FULL = 1_000_000_000


@dataclass(frozen=True)
class StoreFolder:
    """`version` is its file of that name, None where there is none; `others` is what a folder without it holds; `owner`
    is a uid, None where the folder is not there yet; `free` and `total` are bytes of its disk."""

    directory: str
    owner: int | None = None
    is_folder: bool = True
    writable: bool = True
    open_to_others: bool = False
    version: str | None = None
    others: tuple[str, ...] = ()
    free: int = 0
    total: int = 0
    user: int = 0


def look(directory: Path) -> StoreFolder:
    nearest = next(path for path in (directory, *directory.parents) if path.exists())
    disk = shutil.disk_usage(nearest)
    writable = os.access(nearest, os.W_OK | os.X_OK)
    basis = StoreFolder(str(directory), writable=writable, free=disk.free, total=disk.total, user=os.geteuid())
    if nearest != directory:
        return basis
    status = directory.stat()
    is_folder = directory.is_dir()
    readable = is_folder and os.access(directory, os.R_OK | os.X_OK)
    names = sorted(path.name for path in directory.iterdir()) if readable else []
    return StoreFolder(
        str(directory),
        status.st_uid,
        is_folder,
        writable,
        bool(status.st_mode & 0o022),
        _version(directory / "version") if is_folder else None,
        tuple(name for name in names if name not in _LITTER),
        disk.free,
        disk.total,
        os.geteuid(),
    )


def judge(store: StoreFolder) -> list[Finding]:
    return [*_judge_folder(store), _judge_disk(store)]


def _judge_folder(store: StoreFolder) -> list[Finding]:
    elsewhere = "set MLX_SERVE_MODELS_DIR (models.directory) to another folder"
    if not store.is_folder:
        return [Finding("problem", "store", f"{store.directory} is not a folder", elsewhere)]
    if store.owner not in (None, store.user) and (store.writable or store.owner != 0):
        return [Finding("problem", "store", f"{store.directory} belongs to another user", elsewhere)]
    if store.owner is None:
        if not store.writable:
            return [Finding("problem", "store", f"{store.directory} cannot be made there", elsewhere)]
        return [Finding("ok", "store", f"{store.directory} is made at the first start")]
    if store.version is None and store.others:
        some = ", ".join(store.others[:3])
        text = f"{store.directory} is not a store of this mlx-serve: it holds {some} and no file named version"
        return [Finding("problem", "store", text, f"{elsewhere}, or MLX_SERVE_HOME where another program has it")]
    if store.version not in (None, VERSION):
        text = f"{store.directory} is a store of version {store.version!r}, and this mlx-serve reads version {VERSION}"
        return [Finding("problem", "store", text, f"upgrade mlx-serve, or {elsewhere}")]
    findings = []
    if store.open_to_others:
        text = f"others may write into {store.directory}, and so change models"
        findings.append(Finding("warning", "store", text, f"chmod go-w {store.directory}"))
    if not store.writable:
        text = f"{store.directory} is read-only: models are served, and cannot be pulled or removed"
        return [*findings, Finding("note", "store", text, elsewhere)]
    return [*findings, Finding("ok", "store", store.directory)]


def _judge_disk(store: StoreFolder) -> Finding:
    text = f"{size(store.free)} of {size(store.total)} are free where the models are"
    remedy = f"mlx-serve gc, mlx-serve remove NAME, or move {store.directory} to another disk (models.directory)"
    if store.free < _FULL:
        return Finding("problem", "disk", text, remedy)
    if store.free < _SCARCE:
        return Finding("warning", "disk", text, remedy)
    return Finding("ok", "disk", text)


def _version(path: Path) -> str | None:
    try:
        return path.read_bytes()[:64].decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"unreadable: {error.strerror}"
