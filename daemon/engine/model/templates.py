"""Chat templates that Transformers' loader does not find: beside a processor."""

from __future__ import annotations

import json
from pathlib import Path
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


def _object(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_bytes()) if path.exists() else {}
    return value if isinstance(value, dict) else {}
