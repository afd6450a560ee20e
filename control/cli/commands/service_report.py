"""What is known of a service: what its manager says, and what its daemon answers."""

from __future__ import annotations

import os
import time

from .. import launch, target
from ..client import ApiError, Client, ConnectionBroken, NoDaemon
from ..session import CommandFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...service.description import State
    from ...service.manager import Manager

_READY_SECONDS = 100.0
_POLL_SECONDS = 0.2
_ANSWER_SECONDS = 5.0
_REASONS = {os.EX_TEMPFAIL: "another daemon of this home has its port", os.EX_CONFIG: "its settings are at fault"}
"""What an exit status of the daemon means, where what it said was not kept."""
_FILE_STATES = {
    "absent": "not there",
    "current": "as this version writes it",
    "outdated": "of another version or other settings; renew it with: mlx-serve service install",
    "changed": "changed since mlx-serve wrote it",
    "foreign": "not written by mlx-serve",
}


def moment(manager: Manager) -> str:
    return "boot" if manager.description.boot else "login"


def document(manager: Manager) -> dict[str, Any]:
    state = manager.state()
    found = daemon(manager, state)
    return {
        "service": manager.name,
        "manager": manager.kind,
        "boot": manager.description.boot,
        "file": str(manager.file.path),
        "file_state": manager.file.state(),
        "enabled": state.enabled,
        "active": state.active,
        "pid": state.pid,
        "exit_status": state.exit_status,
        "url": found["url"] if found else None,
        "version": found["version"] if found else None,
        "logs": manager.logs,
    }


def overview(manager: Manager, document: dict[str, Any]) -> str:
    if document["file_state"] == "absent" and not document["active"]:
        return f"{manager.name} is not installed"
    if document["active"]:
        runs = f"runs at {document['url'] or 'no address yet'} (pid {document['pid']})"
    else:
        runs = "does not run"
        if document["exit_status"]:
            runs += f"; it ended with status {document['exit_status']}"
    rows = [
        ("file", f"{document['file']}, {_FILE_STATES[document['file_state']]}"),
        (f"at {moment(manager)}", "starts" if document["enabled"] else "does not start"),
        ("output", document["logs"]),
    ]
    widest = max(len(name) for name, _ in rows)
    return "\n".join([f"{manager.name} {runs}", *(f"  {name.ljust(widest)}    {value}" for name, value in rows)])


def daemon(manager: Manager, state: State) -> Any | None:
    """The status of the service's daemon, which is found by its pid: its port may come from the settings."""
    for path in target.running_sockets(manager.description.home):
        client = Client(path, _ANSWER_SECONDS)
        try:
            if state.pid is not None and client.pid() in (state.pid, None):
                found = client.get(launch.STATUS)
                if found["pid"] == state.pid:
                    return found
        except (NoDaemon, ConnectionBroken, ApiError):
            continue  # it ends, or begins
    return None


def wait_until_ready(manager: Manager) -> Any:
    """The daemon's status. Raises CommandFailed when it ends instead."""
    deadline = time.monotonic() + _READY_SECONDS
    idle = 0
    while time.monotonic() < deadline:
        state = manager.state()
        if found := daemon(manager, state):
            return found
        idle = 0 if state.active else idle + 1
        if idle > 1:  # launchd takes a moment to start a process
            raise _ended(manager, state)
        time.sleep(_POLL_SECONDS)
    raise CommandFailed(f"the daemon of {manager.name} does not answer", f"see: {manager.logs}")


def _ended(manager: Manager, state: State) -> CommandFailed:
    reason = manager.last_words() or _REASONS.get(state.exit_status or 0, f"it ended with status {state.exit_status}")
    if state.exit_status == os.EX_TEMPFAIL:
        again = "mlx-serve stop, then mlx-serve service start"
        return CommandFailed(f"the service does not run: {reason}", f"have the service serve that port with: {again}")
    return CommandFailed(f"the service does not run: {reason}", f"see: {manager.logs}")


def version(manager: Manager, state: State) -> str | None:
    found = daemon(manager, state)
    return str(found["version"]) if found else None
