"""What every service manager can be asked for, and which one this system has."""

from __future__ import annotations

import sys
from typing import Protocol

from .description import Description, State
from .launchd import Launchd
from .service_error import ServiceError
from .systemd import Systemd
from .unit_file import UnitFile


class Manager(Protocol):
    """Asks about one service. Every method may raise ServiceError."""

    kind: str
    name: str
    """What the manager calls the service."""
    description: Description
    file: UnitFile

    @property
    def logs(self) -> str:
        """The command that shows what the service printed."""

    def check(self) -> None:
        """Whether the manager can be reached."""

    def state(self) -> State: ...

    def installed_account(self) -> str | None:
        """The account that the file names which is there."""

    def load(self) -> None:
        """Have it read the file, of a service that does not run."""

    def unload(self) -> None:
        """Stop the service, and have the manager forget it; the file is still there."""

    def forget(self) -> None:
        """After the file is gone: nothing of the service is remembered."""

    def enable(self) -> None: ...

    def disable(self) -> None: ...

    def start(self) -> None:
        """Does nothing for one that runs. Whether the daemon then is ready, or has ended, the caller has to see."""

    def stop(self) -> None:
        """Returns when the daemon has ended."""

    def last_words(self) -> str | None:
        """The last sentence that the daemon printed about why it ends."""

    def advice(self) -> str | None:
        """What the user should know after an installation."""


def manager_of(description: Description, platform: str = sys.platform) -> Manager:
    """Raises ServiceError on a system that has neither launchd nor systemd."""
    if platform == "darwin":
        return Launchd(description)
    if platform == "linux":
        return Systemd(description)
    raise ServiceError(f"mlx-serve knows no service manager of {platform}", "run the daemon with: mlx-serve start")
