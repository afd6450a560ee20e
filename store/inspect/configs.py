"""The JSON and template files beside the weights, read with size limits: remote code, chat templates, model card."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..allowlist import size_limit
from ..disk.filesystem import read_regular
from ..errors import DamagedModel, UnsupportedModel

_CARD_HEAD = 64 << 10
_NO_CONFIG = {"tokenizer.json", "vocab.json", "added_tokens.json", "special_tokens_map.json"}


class _Token(msgspec.Struct):
    content: str


class _Tokens(msgspec.Struct):
    added_tokens: list[_Token] = []


_tokens = msgspec.json.Decoder(_Tokens)


class ModelFiles:
    """The files of one model: path in the model -> real path. Reads each JSON file once."""

    def __init__(self, locations: Mapping[str, Path]) -> None:
        self.locations = dict(locations)
        self._json: dict[str, Any] = {}

    def __contains__(self, path: str) -> bool:
        return path in self.locations

    def json(self, path: str) -> Any:
        """The parsed document, None when there is no such file. Raises DamagedModel."""
        if path not in self.locations:
            return None
        if path not in self._json:
            try:
                self._json[path] = json.loads(self._read(path))
            except (ValueError, RecursionError) as error:
                raise DamagedModel(f"{path} is not valid JSON: {str(error)[:120]}") from error
        return self._json[path]

    def object(self, path: str) -> dict[str, Any]:
        """The JSON object in a file; {} when there is no such file. Raises DamagedModel."""
        document = self.json(path)
        if document is None:
            return {}
        if not isinstance(document, dict):
            raise DamagedModel(f"{path} is not a JSON object")
        return document

    def text(self, path: str) -> str | None:
        if path not in self.locations:
            return None
        return self._read(path).decode("utf-8", "replace")

    def tokens(self) -> list[str]:
        """The added tokens that tokenizer.json lists; the rest of its megabytes is not kept. None where it cannot be
        read as such: what is wrong with it is said by whoever loads it."""
        if "tokenizer.json" not in self.locations:
            return []
        try:
            return [token.content for token in _tokens.decode(self._read("tokenizer.json")).added_tokens]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return []

    def _read(self, path: str) -> bytes:
        try:
            return read_regular(self.locations[path], size_limit(path) or 0, follow=True)
        except OSError as error:
            raise DamagedModel(f"{path} cannot be read: {error.strerror}") from error


def refuse_remote_code(files: ModelFiles) -> None:
    """Raises UnsupportedModel when a config asks its loader to run Python code from the model."""
    for path in sorted(files.locations):
        if not path.endswith(".json") or path.endswith(".index.json") or path in _NO_CONFIG:
            continue
        document = files.json(path)
        key = _code_key(document)
        if key is not None:
            raise UnsupportedModel(
                f"{path} asks for Python code ({key}), which mlx-serve never runs",
                hint="look for a conversion of this model that needs no remote code",
            )
        if path == "modules.json":
            for module in document if isinstance(document, list) else ():
                kind = module.get("type") if isinstance(module, dict) else None
                if not isinstance(kind, str) or not kind.startswith("sentence_transformers."):
                    raise UnsupportedModel(
                        f"modules.json asks for Python code ({str(kind)[:80]!r}), which mlx-serve never runs"
                    )


def _code_key(document: Any) -> str | None:
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for key in ("auto_map", "model_file"):
                if value.get(key):
                    return key
            if value.get("trust_remote_code") not in (None, False):
                return "trust_remote_code"
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return None


def chat_template(files: ModelFiles) -> str | None:
    """All chat templates of the model as one text, None when it has none."""
    found = [files.text(path) for path in sorted(files.locations) if path.endswith(".jinja")]
    found += _templates(files.object("chat_template.json")) + _templates(files.object("tokenizer_config.json"))
    return "\n".join(text for text in found if text) or None


def _templates(document: dict[str, Any]) -> list[str | None]:
    value = document.get("chat_template")
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for text in value.values() if isinstance(text, str)]
    if isinstance(value, list):
        named = [entry.get("template") for entry in value if isinstance(entry, dict)]
        return [text for text in named if isinstance(text, str)]
    return []


def added_tokens(files: ModelFiles) -> frozenset[str]:
    """The texts of the tokenizer's added tokens, of every file that may list them."""
    config = files.object("tokenizer_config.json")
    decoder = config.get("added_tokens_decoder")
    listed: list[Any] = list(decoder.values()) if isinstance(decoder, dict) else []
    for document in (config, files.object("special_tokens_map.json")):
        more = document.get("additional_special_tokens")
        listed += more if isinstance(more, list) else []
    found = [entry.get("content") if isinstance(entry, dict) else entry for entry in listed]
    texts = [text for text in found if isinstance(text, str)]
    return frozenset({*texts, *files.object("added_tokens.json"), *files.tokens()})


def pipeline_tag(files: ModelFiles) -> str | None:
    """The task that the model card names in its front matter, such as `text-ranking`."""
    card = files.text("README.md")
    if card is None or not card.startswith("---"):
        return None
    head = card[:_CARD_HEAD].split("\n---", 1)[0]
    match = re.search(r"^pipeline_tag:\s*[\"']?([a-z0-9-]+)", head, re.MULTILINE)
    return match[1] if match else None
