"""What a model's folder says before there is a network: its JSON files, its context, what is wrong with it. No MLX."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DEFAULT_CONTEXT = 4096
_UNREADABLE = ("[read]", "[load", "[json")  # how MLX begins what it says of a damaged file

UseTokenizer = Callable[[Any, str, dict[str, Any]], None]
"""Takes a tokenizer of Transformers, the folder it comes from, and the options it was loaded with."""


class BadModel(Exception):
    """The folder's files are damaged or contradict each other."""


class UnsupportedModel(Exception):
    """The files may be fine; this version does not serve such a model."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises BadModel."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadModel(f"{path.name} is missing") from None
    except (ValueError, RecursionError):
        raise BadModel(f"{path.name} is not JSON") from None
    if not isinstance(value, dict):
        raise BadModel(f"{path.name} is not a JSON object")
    return value


def read_list(path: Path) -> list[Any]:
    """A JSON array. Raises BadModel."""
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise BadModel(f"{path.name} is not JSON") from None
    if not isinstance(value, list):
        raise BadModel(f"{path.name} is not a JSON array")
    return value


def context_length(config: dict[str, Any]) -> int:
    """The longest sequence the model was made for, in tokens; DEFAULT_CONTEXT when its config does not say."""
    for section in (config, config.get("text_config") or {}):
        for key in (
            "max_position_embeddings",
            "max_sequence_length",
            "max_seq_len",
            "seq_length",
            "n_positions",
            "n_ctx",
        ):
            value = section.get(key)
            if isinstance(value, int) and value > 0:
                return value
    return DEFAULT_CONTEXT


def tokenizer_options(folder: Path) -> dict[str, Any]:
    """Options for Transformers' `AutoTokenizer`: the chat template that it does not find by itself, beside a processor.
    Raises ValueError where a file is not JSON."""
    options: dict[str, Any] = {"trust_remote_code": False}
    config = _object(folder / "tokenizer_config.json")
    if not config.get("chat_template") and not (folder / "chat_template.jinja").exists():
        # Vision models keep the template with their processor.
        beside = _object(folder / "chat_template.json").get("chat_template")
        options |= {"chat_template": beside} if beside else {}
    return options


def _object(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_bytes()) if path.exists() else {}
    return value if isinstance(value, dict) else {}


@contextmanager
def reading(folder: Path, config: Mapping[str, Any]) -> Iterator[None]:
    """What the libraries raise while they read a model, as BadModel, UnsupportedModel, MemoryError; nothing is read of
    one that asks for code of its own."""
    for key in ("model_file", "auto_map", "trust_remote_code"):
        if config.get(key):
            raise UnsupportedModel(f"config.json asks to run code of its own ({key}), which mlx-serve never does")
    try:
        yield
    except (MemoryError, BadModel, UnsupportedModel):
        raise
    except SystemExit as error:
        raise UnsupportedModel(
            f"model type {config.get('model_type')!r} needs a package that is not installed"
        ) from error
    except (FileNotFoundError, KeyError, TypeError, ValueError, OSError, AttributeError) as error:
        text = " ".join(str(error).replace(str(folder), "the model").split())[:300]
        if "not supported" in text or "Model type" in text or "rope_scaling" in text or "RoPE type" in text:
            raise UnsupportedModel(text) from error
        raise BadModel(text or type(error).__name__) from error
    except RuntimeError as error:
        if str(error).startswith(_UNREADABLE):
            text = " ".join(str(error).replace(str(folder), "the model").split())[:200]
            raise BadModel(f"the weight files cannot be read ({text})") from error
        raise
