"""What stands in TOML files beside the code: word lists, wordings, facts.

`{name}` in a file stands for the text of that name in its `parts`; what no part is called stays as it is.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

_GAP = re.compile(r"\{(\w+)\}")


def filled(value: Any, parts: dict[str, Any]) -> Any:
    """The value, with the gaps of every text in it filled."""
    if isinstance(value, str):
        return _GAP.sub(lambda gap: parts.get(gap[1], gap[0]), value)
    if isinstance(value, list):
        return [filled(each, parts) for each in value]
    if isinstance(value, dict):
        return {name: filled(each, parts) for name, each in value.items()}
    return value


def load(path: Path) -> dict[str, Any]:
    """Parts may hold parts that stand before them."""
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    parts: dict[str, str] = {}
    for name, text in found.pop("parts", {}).items():
        parts[name] = filled(text, parts)
    return {name: filled(each, parts) for name, each in found.items()}


def beside(module: str) -> dict[str, Any]:
    """The file that is called as the module is: `beside(__file__)`."""
    return load(Path(module).with_suffix(".toml"))
