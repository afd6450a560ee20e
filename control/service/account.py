"""Whose service it is: the account that its daemon runs as."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .service_error import ServiceError


@dataclass(frozen=True)
class Account:
    name: str
    group: int
    folder: Path

    @property
    def home(self) -> Path:
        """Where its daemons have their settings when MLX_SERVE_HOME is not set."""
        return self.folder / ".mlx-serve"


def named(name: str) -> Account:
    """Raises ServiceError where there is none of that name."""
    import pwd

    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise ServiceError(f"there is no account {name!r} on this machine", "name another one with --user") from None
    return Account(found.pw_name, found.pw_gid, Path(found.pw_dir))


def current() -> Account:
    """Who runs this process. Raises ServiceError where the system has no account for it."""
    import pwd

    try:
        return named(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:
        raise ServiceError(
            f"the system has no account for the user id {os.getuid()}", "log in as another user"
        ) from None


def behind_sudo() -> str | None:
    """Who called sudo, if this process is root by it."""
    return os.environ.get("SUDO_USER") or None if os.geteuid() == 0 else None
