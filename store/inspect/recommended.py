"""What a model's authors recommend for sampling: the numbers in its generation_config.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

FILE = "generation_config.json"
MAX_BYTES = 256 << 10


def recommended(folder: Path) -> dict[str, Any]:
    """Numbers by the names of Transformers; none where the file is not there or cannot be read."""
    try:
        with open(folder / FILE, "rb") as file:
            config = msgspec.json.decode(file.read(MAX_BYTES), type=dict[str, Any])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return {
        name: value for name, value in config.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }
