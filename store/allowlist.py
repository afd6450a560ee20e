"""Which files of a model are kept, and how large each kind may be. Never Python, never pickles."""

from __future__ import annotations

import re

_MIB = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ +-]{0,200}")

# A model's own files; the first pattern that matches decides. All other files are skipped.
_ROOT: tuple[tuple[re.Pattern[str], str, int | None], ...] = (
    (re.compile(r"(?:adapter_model|adapters|consolidated.*|training_args|optimizer.*)\.(?:safetensors|json)"), "", 0),
    (re.compile(r".+\.safetensors"), "application/vnd.safetensors", None),
    (re.compile(r".+\.json"), "application/json", 64 * _MIB),
    (re.compile(r".+\.jinja"), "text/x-jinja", _MIB),
    (re.compile(r"(?:LICEN[CS]E|README|NOTICE|COPYING|USE_POLICY)[^.]*(?:\.(?:md|txt|rst))?"), "text/plain", 4 * _MIB),
    (re.compile(r".+\.(?:model|tiktoken|txt)"), "application/octet-stream", 64 * _MIB),
)
# Sentence Transformers keeps pooling and dense layers in numbered folders.
_BELOW: tuple[tuple[re.Pattern[str], str, int | None], ...] = (
    (re.compile(r"\d_[A-Za-z]+/config\.json"), "application/json", _MIB),
    (re.compile(r"\d_[A-Za-z]+/model\.safetensors"), "application/vnd.safetensors", None),
    (re.compile(r"additional_chat_templates/.+\.jinja"), "text/x-jinja", _MIB),
)
# Allowed, but of no use for serving: indexes of other formats and files of training.
_UNREAD = re.compile(
    r"(?!model\.safetensors\.index\.json$).+\.index(?:\.\w+)?\.json"
    r"|(?:adapter_config|trainer_state|training_.*|(?:all|train|eval|test|predict)_results|.*metrics)\.json"
    r"|(?:requirements|environment)\.txt"
)
_FOLDER = re.compile(r"\d_[A-Za-z]+|additional_chat_templates")


def media_type(path: str) -> str | None:
    """The media type, or None for a file that is not kept. `path` is relative, with '/', at most one folder deep."""
    rule = _rule(path)
    return rule[0] if rule is not None else None


def is_wanted(path: str) -> bool:
    """Whether a new model keeps the file. Some files that older stores may hold are allowed but no longer kept."""
    return _rule(path) is not None and _UNREAD.fullmatch(path) is None


def size_limit(path: str) -> int | None:
    """The largest size in bytes of a kept file; None for no limit."""
    rule = _rule(path)
    return rule[1] if rule is not None else 0


def is_folder(name: str) -> bool:
    """Whether a folder of that name can contain kept files."""
    return _FOLDER.fullmatch(name) is not None


def _rule(path: str) -> tuple[str, int | None] | None:
    parts = path.split("/")
    if len(parts) > 2 or not all(_NAME.fullmatch(part) for part in parts):
        return None
    for pattern, kind, limit in _ROOT if len(parts) == 1 else _BELOW:
        if pattern.fullmatch(path):
            return (kind, limit) if kind else None
    return None
