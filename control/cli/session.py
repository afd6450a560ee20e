"""What every command needs: its options, its daemon, its output."""

from __future__ import annotations

import contextlib
import json
import os

from ..socket import alive
from . import firewall, launch, target
from .client import Client, NoDaemon
from .display.terminal import note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from .target import Target


class CommandFailed(Exception):
    """The operation failed; exit status 1. `hint` says what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def with_hint(message: str, hint: str | None) -> str:
    """Both in one sentence, or in two where the first one is a question."""
    message = message.rstrip(".")
    if not hint:
        return message
    return f"{message} {hint}" if message.endswith("?") else f"{message}; {hint}"


class Session:
    def __init__(self, options: Namespace) -> None:
        self.options = options
        self._target: Target | None = None

    @property
    def target(self) -> Target:
        if self._target is None:
            self._target = target.find(self.options.port, self.options.socket)
        return self._target

    @property
    def json(self) -> bool:
        return bool(self.options.json)

    def client(self, timeout: float | None = None) -> Client:
        """A client; its requests raise NoDaemon when none is running."""
        return Client(self.target.socket, timeout)

    def daemon(self) -> Client:
        """A client, after starting a daemon when none is running. Raises NoDaemon where that is turned off."""
        wanted = self.target
        if not alive(wanted.socket):
            if wanted.explicit_socket or os.environ.get("MLX_SERVE_NO_AUTOSTART", "") not in ("", "0"):
                raise NoDaemon(str(wanted.socket))
            note(f"no daemon is running {wanted}; starting one")
            with contextlib.suppress(launch.AlreadyRunning):  # another command started one at the same moment
                found = launch.start(wanted, ["--port", str(wanted.port)] if self.options.port is not None else [])
                if about := firewall.explanation(found):
                    note(about)
        return self.client()

    def print_json(self, document: Any) -> None:
        """One document, or one line of a stream."""
        print(json.dumps(document, ensure_ascii=False), flush=True)


def request_path(number: str) -> str:
    """The control route of one request; its id is escaped."""
    from urllib.parse import quote

    return f"/control/v1/requests/{quote(number, safe='')}"


def path_of(name: str) -> str:
    """The control route of one model; the name is escaped, so that it cannot lead to another route."""
    from urllib.parse import quote

    return f"/control/v1/models/{quote(name, safe='')}"
