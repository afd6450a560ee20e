"""JSON files of a model's folder, and those whose gaps are filled: `"<name>"` in JSON, `{name}` in a model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write(path: Path, values: Any, indent: int = 2) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(values, indent=indent, ensure_ascii=False) + "\n")


def config(path: Path, values: dict[str, Any]) -> Any:
    """The JSON of a file, with a value for every text that is a gap."""

    def put(found: dict[str, Any]) -> dict[str, Any]:
        return {
            name: values[each[1:-1]] if isinstance(each, str) and each.startswith("<") else each
            for name, each in found.items()
        }

    return json.loads(path.read_text(), object_hook=put)
