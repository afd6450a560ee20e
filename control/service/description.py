"""What a service is, whoever runs it: its name, its command line, its home, its account."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Description:
    """`user` is empty for the service of whoever is logged in, and an account's name for one that starts at boot.
    `port` is given where the service is for one port, and then part of its name."""

    command: tuple[str, ...]
    home: Path
    port: int | None = None
    user: str = ""
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def boot(self) -> bool:
        return bool(self.user)

    @property
    def name(self) -> str:
        return "mlx-serve" if self.port is None else f"mlx-serve-{self.port}"

    @property
    def log(self) -> Path:
        """What the daemon prints before and beside its own log, where the system has no journal."""
        return self.home / "logs" / f"{self.name}.service.log"


@dataclass(frozen=True)
class State:
    """What the service manager knows of a service. `loaded`: it has read the file. `enabled`: it will start the service
    by itself. `pid` is None when the service does not run, `exit_status` where it has not ended by itself."""

    loaded: bool
    enabled: bool
    active: bool
    pid: int | None
    exit_status: int | None = None
