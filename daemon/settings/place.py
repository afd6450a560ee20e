"""Where the value of a setting stands: on a line of a file, in an environment variable, in a flag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Keys = tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """`name` of a variable or a flag; of a file its `file` and the `line`. `lines` are those of what is within the
    value, by the keys that lead there."""

    name: str = ""
    file: Path | None = None
    line: int = 0
    lines: Mapping[Keys, int] = field(default_factory=dict)

    def whole(self, keys: Keys = ()) -> str:
        """For an error: a file with its folders."""
        return self.name if self.file is None else f"{self.file}:{self._line(keys)}"

    def short(self, keys: Keys = ()) -> str:
        """For a listing."""
        return self.name if self.file is None else f"{self.file.name}:{self._line(keys)}"

    def _line(self, keys: Keys) -> int:
        return self.lines.get(keys, self.line)
