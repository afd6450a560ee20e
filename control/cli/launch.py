"""Starts a daemon in the background and waits until it answers, or says why it failed."""

from __future__ import annotations

import os
import sys
import time

from .client import ApiError, Client, ConnectionBroken, NoDaemon

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from pathlib import Path
    from typing import Any

    from .target import Target

STATUS = "/control/v1/status"
_DEADLINE_SECONDS = 60.0
_POLL_SECONDS = 0.02
_EXIT_SECONDS = 10.0


class StartFailed(Exception):
    """The daemon did not start; `str()` is its own error where it printed one."""

    def __init__(self, reason: str, log: Path) -> None:
        super().__init__(reason)
        self.hint = f"see its log: {log}"


class AlreadyRunning(Exception):
    """Another daemon has the port; `found` is its status, `str()` a sentence."""

    def __init__(self, found: Any) -> None:
        super().__init__(f"a daemon is already running at {found['url']}, pid {found['pid']}")
        self.found = found


def command(flags: list[str]) -> list[str]:
    """With -P, so that the daemon does not import modules of the current folder."""
    return [sys.executable, "-P", "-m", "mlx_serve.daemon.main", *flags]


def status(target: Target, timeout: float = 10.0) -> Any | None:
    """The daemon's status, or None when none is running."""
    try:
        return Client(target.socket, timeout).get(STATUS)
    except NoDaemon:
        return None


def start(target: Target, flags: list[str]) -> Any:
    """Start a daemon, detached from this terminal; returns its status once it answers. Raises StartFailed,
    AlreadyRunning."""
    import subprocess

    target.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(target.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        before = os.fstat(handle).st_size
        child = subprocess.Popen(
            command(flags),
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            cwd=target.home,
            start_new_session=True,
        )
    finally:
        os.close(handle)
    return _wait(target, child, before)


def _wait(target: Target, child: subprocess.Popen[bytes], offset: int) -> Any:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while time.monotonic() < deadline:
        ended = child.poll() is not None
        try:
            found = status(target)
        except (ConnectionBroken, ApiError):
            found = None
        if found is not None:
            if found["pid"] != child.pid and _found_another_daemon(child):
                raise AlreadyRunning(found)
            # The daemon outlives this process on purpose; this avoids a ResourceWarning.
            child.returncode = child.returncode or 0
            return found
        if ended:
            raise StartFailed(_reason(target.log, offset, child.returncode), target.log)
        time.sleep(_POLL_SECONDS)
    child.terminate()
    child.wait()
    raise StartFailed(f"the daemon did not answer within {_DEADLINE_SECONDS:.0f} s", target.log)


def _found_another_daemon(child: subprocess.Popen[bytes]) -> bool:
    """Whether the started daemon ends because another one took the port first."""
    import subprocess

    try:
        return child.wait(_EXIT_SECONDS) == os.EX_TEMPFAIL
    except subprocess.TimeoutExpired:
        return False


def _reason(log: Path, offset: int, code: int) -> str:
    """The last line that the daemon wrote: a sentence on stderr, or the message of a structured log line."""
    with open(log, "rb") as file:
        file.seek(offset)
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    if not lines:
        return f"the daemon ended with status {code} and printed no error"
    last = lines[-1]
    if last.startswith("{"):
        import json

        try:
            document = json.loads(last)
        except ValueError:
            return last
        last = str(document.get("message") or document.get("event") or last)
    return last.removeprefix("mlx-serve: ")
