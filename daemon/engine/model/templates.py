"""Chat templates that mlx-lm's loader does not find: beside a processor, and several by name."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def tokenizer_options(folder: Path) -> dict[str, Any]:
    """Options for Transformers' `AutoTokenizer`, which finds every other template by itself. Raises ValueError where a
    file is not JSON."""
    options: dict[str, Any] = {"trust_remote_code": False}
    config = _object(folder / "tokenizer_config.json")
    if not config.get("chat_template") and not (folder / "chat_template.jinja").exists():
        # Vision models keep the template with their processor.
        beside = _object(folder / "chat_template.json").get("chat_template")
        options |= {"chat_template": beside} if beside else {}
    return options


def template_options(folder: Path) -> dict[str, Any]:
    """Options for mlx-lm's `load_tokenizer`. Raises ValueError where a file is not JSON."""
    from mlx_lm.tokenizer_utils import _infer_tool_parser  # it brings MLX along

    config = _object(folder / "tokenizer_config.json")
    options = tokenizer_options(folder)
    named = _named(folder, options.get("chat_template") or config.get("chat_template"))
    for_tools = named.get("tool_use") or named.get("default")
    if named and for_tools and not config.get("tool_parser_type"):
        # mlx-lm knows the form of tool calls by the template, and looks into single ones only.
        parser = _infer_tool_parser(SimpleNamespace(chat_template=for_tools, get_vocab=dict))
        options |= {"tool_parser_type": parser} if parser else {}
    return options


def _named(folder: Path, template: Any) -> dict[str, str]:
    if isinstance(template, list):
        entries = [entry for entry in template if isinstance(entry, dict)]
        return {str(entry.get("name")): str(entry.get("template")) for entry in entries}
    files = (folder / "additional_chat_templates").glob("*.jinja")
    return {path.stem: path.read_text(encoding="utf-8") for path in files}


def _object(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_bytes()) if path.exists() else {}
    return value if isinstance(value, dict) else {}
