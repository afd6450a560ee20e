"""Files that a program must find: compared, shown as a difference, and written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .setup import ConfigFile

_MODE = 0o600


class UnreadableConfig(Exception):
    """A program's file that is not what the program itself could read; a sentence with its name."""


def with_entry(path: Path, keys: tuple[str, ...], value: Any) -> ConfigFile:
    """The JSON file at `path` with `value` under `keys`, all else as it was. Raises UnreadableConfig."""
    found = read(path)
    try:
        document = json.loads(found) if found and found.strip() else {}
    except ValueError as error:
        raise UnreadableConfig(f"{path} is not JSON ({error}), so nothing can be added to it") from None
    place = document
    for key in keys[:-1]:
        place = place.setdefault(key, {}) if isinstance(place, dict) else None
    if not isinstance(place, dict):
        raise UnreadableConfig(f"{path} has something else than an object where {'.'.join(keys)} belongs")
    if place.get(keys[-1]) == value:
        return ConfigFile(path, found or "")
    place[keys[-1]] = value
    return ConfigFile(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def read(path: Path) -> str | None:
    """The file's text; None where there is none. Raises UnreadableConfig."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableConfig(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def changed(files: tuple[ConfigFile, ...]) -> list[ConfigFile]:
    """Those that are missing or hold something else."""
    return [file for file in files if read(file.path) != file.content]


def difference(file: ConfigFile) -> str:
    """What writing it would change, as `diff -u` shows it."""
    import difflib

    before = read(file.path)
    lines = difflib.unified_diff(
        (before or "").splitlines(),
        file.content.splitlines(),
        "/dev/null" if before is None else str(file.path),
        str(file.path),
        lineterm="",
    )
    return "\n".join(lines)


def write(file: ConfigFile) -> None:
    """In one step, so that no program reads half of it. A link stays a link, and a file keeps its mode; a new one is
    readable by its owner only."""
    path = file.path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else _MODE
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as handle:
            handle.write(file.content)
            handle.flush()
            os.fsync(handle.fileno())
        beside.chmod(mode)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
