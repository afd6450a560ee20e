"""systemctl as far as mlx-serve uses it: reads units, starts their processes and waits for READY=1, ends them.

Its memory is the folder $FAKE_MANAGER: `state`, and `refuses`, whose text it fails with.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

STARTED: list[subprocess.Popen[bytes]] = []
"""The processes of services, of all that this process has started."""


def memory(name: str) -> Path:
    return Path(os.environ["FAKE_MANAGER"]) / name


def unit_file(name: str) -> Path:
    return Path(os.environ["XDG_CONFIG_HOME"]) / "systemd" / "user" / name


def read() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(memory("state").read_text()) if memory("state").exists() else {}
    return found


def write(**values: Any) -> None:
    memory("state").write_text(json.dumps(read() | values))


def fail(code: int, text: str) -> int:
    sys.stderr.write(text + "\n")
    return code


def running(name: str) -> int | None:
    """The pid of its process, if that has not ended."""
    pid = read().get(f"{name} pid")
    return pid if any(each.pid == pid and each.poll() is None for each in STARTED) else None


def options(name: str) -> list[tuple[str, str]]:
    lines = unit_file(name).read_text().splitlines()
    return [(key, value) for key, sign, value in (line.partition("=") for line in lines) if sign]


def start(name: str) -> int:
    if not unit_file(name).exists():
        return fail(5, f"Failed to start {name}: Unit {name} not found.")
    if running(name):
        return 0
    unit = options(name)
    environment = dict(shlex.split(value)[0].split("=", 1) for key, value in unit if key == "Environment")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        path = memory("notify")
        path.unlink(missing_ok=True)
        notices.bind(str(path))
        notices.settimeout(0.1)
        with open(memory("journal"), "ab") as journal:
            process = subprocess.Popen(
                shlex.split(dict(unit)["ExecStart"]),
                env=os.environ | environment | {"NOTIFY_SOCKET": str(path)},
                stdin=subprocess.DEVNULL,
                stdout=journal,
                stderr=journal,
                start_new_session=True,
            )
        STARTED.append(process)
        while process.poll() is None:
            try:
                if notices.recv(1000).startswith(b"READY=1"):
                    write(**{f"{name} pid": process.pid, f"{name} status": None})
                    return 0
            except TimeoutError:
                continue
    write(**{f"{name} pid": None, f"{name} status": process.returncode})
    return fail(1, f"Job for {name} failed because the control process exited with error code.")


def stop(name: str) -> int:
    if pid := running(name):
        (process,) = (each for each in STARTED if each.pid == pid)
        process.terminate()
        process.wait()
    return 0


def show(name: str) -> int:
    found, pid = read(), running(name)
    status = found.get(f"{name} status")
    sys.stdout.write(
        f"LoadState={'loaded' if unit_file(name).exists() else 'not-found'}\n"
        f"ActiveState={'active' if pid else 'failed' if status else 'inactive'}\n"
        f"SubState={'running' if pid else 'failed' if status else 'dead'}\n"
        f"UnitFileState={'enabled' if found.get(f'{name} enabled') else 'disabled'}\n"
        f"MainPID={pid or 0}\nExecMainCode={1 if status else 0}\nExecMainStatus={status or 0}\n"
    )
    return 0


def main(*arguments: str) -> int:
    verb, *words = [word for word in arguments if not word.startswith("--")]
    name = words[0] if words else ""
    if "--user" not in arguments:
        return fail(1, "Failed to connect to bus: this fake is a user's")
    if memory("refuses").exists():
        return fail(1, memory("refuses").read_text())
    if verb == "show":
        return show(name) if name else 0
    if verb == "start":
        return start(name)
    if verb == "disable" and "--now" in arguments:
        stop(name)
    if verb in ("enable", "disable"):
        write(**{f"{name} enabled": verb == "enable"})
    elif verb == "stop":
        stop(name)
    elif verb not in ("daemon-reload", "reset-failed"):
        return fail(1, f"Unknown command verb {verb}.")
    return 0
