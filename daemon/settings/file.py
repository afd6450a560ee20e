"""The YAML file of settings: text in, entries with their line numbers out.

It knows YAML and nothing of which settings exist. Scalars stay text, so that `config` parses a value the same way
wherever it comes from.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .place import Keys, Place
from .value import ConfigError

MAX_BYTES = 1 << 20
_MAX_DEPTH = 8
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)
_YamlLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

FileScalar = str | None | list[str]
FileValue = FileScalar | dict[str, str | dict[str, FileScalar] | None]


@dataclass(frozen=True)
class FileEntry:
    """`key` is dotted (`server.port`); `value` None stands for YAML's null, here and within a mapping; `place` counts
    lines from 1."""

    key: str
    value: FileValue
    place: Place


@dataclass(frozen=True)
class SettingsFile:
    path: Path
    entries: tuple[FileEntry, ...]
    private: bool  # only its owner, who is us or root, can read or change it


def read_settings_file(path: Path) -> SettingsFile:
    """Raises ConfigError; FileNotFoundError when there is no such file."""
    text, private = _read(path)
    return SettingsFile(path, tuple(_entries(path, text)), private)


def _read(path: Path) -> tuple[str, bool]:
    try:
        # Not blocking: a fifo in place of the file must not hang the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ConfigError(f"{path}: is not a file")
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: is larger than 1 MiB, which is too large for settings")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 text") from None
    return text, status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o077


def _entries(path: Path, text: str) -> list[FileEntry]:
    try:
        _refuse_bombs(path, text)
        root = yaml.compose(text, Loader=_YamlLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: is not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {str(error).splitlines()[0]}") from None
    if root is None or _is_null(root):
        return []
    entries = []
    for section, body in _pairs(path, root, "the file", "sections such as `server:`"):
        if _is_null(body):
            continue
        for name, node in _pairs(path, body, section, f"settings such as `{section}: {{key: value}}`"):
            key, lines = f"{section}.{name}", dict[Keys, int]()
            value = _value(path, node, key, lines)
            entries.append(FileEntry(key, value, Place(file=path, line=_line(node), lines=lines)))
    return entries


def _refuse_bombs(path: Path, text: str) -> None:
    """Aliases multiply and nesting recurses; settings need neither, so they are refused before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=_YamlLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{path}:{line}: aliases (`*{event.anchor}`) are not supported here; write the value out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise ConfigError(f"{path}:{line}: is nested more than {_MAX_DEPTH} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _pairs(path: Path, node: yaml.Node, name: str, wanted: str) -> list[tuple[str, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path}:{_line(node)}: {name} must hold {wanted}")
    seen: dict[str, int] = {}
    pairs = []
    for key, value in node.value:
        word = _scalar(path, key, f"a key in {name}")
        if word in seen:
            raise ConfigError(
                f"{path}:{_line(key)}: {word} is given twice in {name}; it is already on line {seen[word]}"
            )
        seen[word] = _line(key)
        pairs.append((word, value))
    return pairs


def _value(path: Path, node: yaml.Node, key: str, lines: dict[Keys, int]) -> FileValue:
    """A single value, a list, or a mapping of names to single values and to mappings of those; `lines` gets the line of
    each name in it."""
    if not isinstance(node, yaml.MappingNode):
        return _plain(path, node, key)
    found: dict[str, str | dict[str, FileScalar] | None] = {}
    for word, item in _pairs(path, node, key, "names, each with a name"):
        lines[word,] = _line(item)
        where = f"{key}.{word}"
        if isinstance(item, yaml.MappingNode):
            pairs = _pairs(path, item, where, "settings")
            lines.update({(word, name): _line(value) for name, value in pairs})
            found[word] = {name: _plain(path, value, f"{where}.{name}") for name, value in pairs}
        else:
            found[word] = None if _is_null(item) else _scalar(path, item, where)
    return found


def _plain(path: Path, node: yaml.Node, key: str) -> FileScalar:
    if _is_null(node):
        return None
    if isinstance(node, yaml.SequenceNode):
        return [_scalar(path, item, f"an item of {key}") for item in node.value]
    return _scalar(path, node, key)


def _scalar(path: Path, node: yaml.Node, what: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise ConfigError(f"{path}:{_line(node)}: {what} must be a single value")
    if node.tag not in _PLAIN_TAGS:
        raise ConfigError(f"{path}:{_line(node)}: {what} has the tag {node.tag!r}; tags are not supported here")
    return str(node.value)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.style and node.value in _NULLS


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
