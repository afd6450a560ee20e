"""A local folder in Hugging Face or MLX layout: which of its files make up the model, and the model's name."""

from __future__ import annotations

import itertools
import os
import re
import stat
from pathlib import Path

from .. import allowlist
from ..errors import SourceError, UnsupportedModel
from ..inspect.configs import ModelFiles
from ..inspect.weightsets import INDEX, chosen
from ..names import LOCAL_OWNER, Name, clean
from .intake import SourceFile
from .links import Bounds

_MAX_ENTRIES = 100_000
_OTHER_WEIGHTS = re.compile(r".+\.(?:bin|pt|pth|ckpt|gguf|h5|msgpack|onnx|npz|safetensors)")
_INCOMPLETE = "the download of this folder is incomplete; finish it and pull again"
_HUB_CACHE = re.compile(r"models--(?P<owner>[^/]+?)--(?P<model>[^/]+)")


def scan(folder: Path, *, shipped: bool = False) -> list[SourceFile]:
    """The files to keep, by path. Reads only names, sizes and the index of the weights.

    Links to regular files are followed within the folder's bounds; those of a `shipped` folder, which an installer may
    have made, wherever they lead. Raises SourceError, UnsupportedModel, DamagedModel.
    """
    found: dict[str, SourceFile] = {}
    candidates = _candidates(folder)
    bounds = Bounds(folder.resolve(), Path(folder.anchor)) if shipped else Bounds.of(folder)
    for path in candidates:
        if (twin := found.get(path.lower())) is not None:
            raise SourceError(f"{twin.path} and {path} differ only in case, which not every file system supports")
        found[path.lower()] = _source_file(bounds, path)
    files = {file.path: file for file in found.values()}
    if "config.json" not in files:
        raise SourceError(
            "the folder has no config.json, so it is not a model in Hugging Face or MLX layout",
            hint="name the folder that holds config.json and the .safetensors files",
        )
    kept = _weights(folder, files)
    return [
        file
        for path, file in sorted(files.items())
        if not path.endswith((".safetensors", ".safetensors.index.json")) or path in kept
    ]


def name_of(folder: Path) -> Name:
    """The default name of a folder's model; a snapshot of the hub's cache gets its repository's name."""
    real = folder.resolve()
    cached = _HUB_CACHE.fullmatch(real.parent.parent.name) if real.parent.name == "snapshots" else None
    if cached is not None:
        return Name(clean(cached["owner"]), clean(cached["model"]))
    return Name(LOCAL_OWNER, clean(real.name))


def _candidates(folder: Path) -> list[str]:
    kept: list[str] = []
    try:
        for name in _entry_names(folder):
            if allowlist.is_folder(name):
                if (folder / name).is_dir():
                    kept += [
                        path for below in _entry_names(folder / name) if allowlist.is_wanted(path := f"{name}/{below}")
                    ]
            elif allowlist.is_wanted(name):
                kept.append(name)
    except FileNotFoundError:
        raise SourceError(
            f"there is no folder {folder}", hint="check the path; a relative one begins with ./"
        ) from None
    except NotADirectoryError:
        raise SourceError(f"{folder} is not a folder", hint="name the folder that holds config.json") from None
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {error.strerror}") from error
    return sorted(kept)


def _entry_names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in itertools.islice(entries, _MAX_ENTRIES + 1)]
    if len(names) > _MAX_ENTRIES:
        raise SourceError(f"the folder has more than {_MAX_ENTRIES} files, which is more than any model needs")
    return names


def _source_file(bounds: Bounds, path: str) -> SourceFile:
    location, place = bounds.locate(path)
    try:
        status = location.lstat()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(f"{path} is not a regular file")
    limit = allowlist.size_limit(path)
    if limit is not None and status.st_size > limit:
        raise SourceError(f"{path} is too large: {status.st_size} bytes; the limit is {limit}")
    return SourceFile.of(path, location, place, status)


def _weights(folder: Path, files: dict[str, SourceFile]) -> set[str]:
    """The weight files that belong to the model, with the index where there is one."""
    own = {path for path in files if path.endswith(".safetensors") and "/" not in path}
    below = {path for path in files if path.endswith(".safetensors") and "/" in path}
    if not own:
        other = sorted(name for name in _entry_names(folder) if _OTHER_WEIGHTS.fullmatch(name))
        if other:
            raise UnsupportedModel(
                f"the folder has no model weights in safetensors format, only {other[0][:120]}",
                hint="convert it first, for example with `mlx_lm.convert`",
            )
        raise SourceError("the folder has no .safetensors files, so it holds no weights")
    index = ModelFiles({INDEX: files[INDEX].location}).json(INDEX) if INDEX in files else None
    return chosen(own, index, where="the folder", hint=_INCOMPLETE) | below
