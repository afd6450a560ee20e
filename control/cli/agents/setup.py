"""What a client is told of the daemon, and what it needs in turn: values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

PLACEHOLDER = "mlx-serve"
"""The key that is sent where the daemon wants none: programs refuse to start without one."""
KEY_VARIABLE = "LOCAL_MLX_KEY"
"""Where programs that read their key from a variable of any name find it, so that it stands in no file."""
_HIDDEN = "***"


@dataclass(frozen=True)
class Served:
    """The daemon's `url`, its `key` (a placeholder where none is set), and one model of it: its name, its context in
    tokens (0: not known), and what it can do. `home` is mlx-serve's own folder."""

    url: str
    key: str
    model: str
    context: int
    capabilities: tuple[str, ...]
    home: Path

    @property
    def sees(self) -> bool:
        return "vision" in self.capabilities

    @property
    def thinks(self) -> bool:
        return "thinking" in self.capabilities

    @property
    def output(self) -> int:
        """Tokens of one answer, for programs that must be told: a quarter of the context, at most 32,000."""
        return min(32_000, max(256, (self.context or 32_768) // 4))


@dataclass(frozen=True)
class ConfigFile:
    """A file that must hold `content` before the program is run."""

    path: Path
    content: str


@dataclass(frozen=True)
class Setup:
    """How a program is run: variables that are set and left out, arguments before the user's own, and files."""

    environ: dict[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    files: tuple[ConfigFile, ...] = ()


def hidden(text: str, key: str) -> str:
    """The text without the daemon's key; the placeholder is no secret."""
    return text if key == PLACEHOLDER else text.replace(key, _HIDDEN)
