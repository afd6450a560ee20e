"""macOS' application firewall asks whether a program may accept connections when it first listens on more than the
loopback address: what `start` says about that question. Standard library only.
"""

from __future__ import annotations

import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROGRAM = "/usr/libexec/ApplicationFirewall/socketfilterfw"
_SECONDS = 2.0
_LOOPBACK = ("127.", "::1", "localhost")


def explanation(found: Any) -> str | None:
    """One line about the question for a daemon that has just started, `found` being its status; None where nothing is
    asked: elsewhere than on macOS, with the firewall off, or on the loopback address."""
    host = found["host"]
    if sys.platform != "darwin" or host.startswith(_LOOPBACK) or not _is_on():
        return None
    return (
        f"macOS' firewall may ask whether Python may accept connections, because the daemon listens on {host}; this "
        "machine is served whatever you answer, others need an API key too; to listen on this machine only: "
        "mlx-serve start --host 127.0.0.1"
    )


def _is_on() -> bool:
    """True when it cannot be told."""
    import subprocess

    ask, quiet = [PROGRAM, "--getglobalstate"], subprocess.DEVNULL
    try:
        done = subprocess.run(ask, stdin=quiet, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return True
    state = re.search(r"State = (\d)", done.stdout)
    return state is None or state[1] != "0"
