"""launchctl as far as mlx-serve uses it: reads property lists, starts and ends processes, prints as macOS 15.

Its memory is the folder $FAKE_MANAGER: one JSON file a loaded service, `disabled`, and `refuses`, whose text it fails
with. As a script (`wait LABEL`) it is the parent of a service's process.
"""

from __future__ import annotations

import json
import os
import plistlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

STARTED: list[subprocess.Popen[bytes]] = []
"""The parents of services, for who uses this as a module to wait for."""


def memory(name: str) -> Path:
    return Path(os.environ["FAKE_MANAGER"]) / name


def path_of(label: str) -> Path:
    return memory(f"{label}.json")


def read(label: str) -> dict[str, Any]:
    path = path_of(label)
    if not path.exists():
        sys.exit(fail(113, f'Could not find service "{label}" in domain'))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def write(label: str, **values: Any) -> None:
    path = path_of(label)
    document = (json.loads(path.read_text()) if path.exists() else {}) | values
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(document))
    temporary.replace(path)


def fail(code: int, text: str) -> int:
    sys.stderr.write(text + "\n")
    return code


def disabled() -> list[str]:
    return memory("disabled").read_text().split() if memory("disabled").exists() else []


def start(label: str) -> None:
    """In the background, as launchd does."""
    write(label, state="spawn scheduled", pid=None)
    nothing = subprocess.DEVNULL
    command = [sys.executable, __file__, "wait", label]
    STARTED.append(subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True))


def wait(label: str) -> int:
    """The parent of a service's process: like launchd it starts a crashed one again, but no other."""
    job = plistlib.loads(Path(read(label)["file"]).read_bytes())
    while True:
        with open(job["StandardErrorPath"], "ab") as log:
            process = subprocess.Popen(
                job["ProgramArguments"],
                cwd=job["WorkingDirectory"],
                env=os.environ | job["EnvironmentVariables"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        write(label, state="running", pid=process.pid)
        code = process.wait()
        if not path_of(label).exists():
            return 0
        write(label, state="not running", pid=None, code=max(code, 0))
        if not (job["KeepAlive"] == {"Crashed": True} and -code in (signal.SIGSEGV, signal.SIGABRT)):
            return 0
        write(label, starts=read(label).get("starts", 0) + 1)


def shown(label: str, domain: str) -> str:
    found = read(label)
    lines = [
        f"{domain}/{label} = {{",
        f"\tpath = {found['file']}",
        f"\tstate = {found['state']}",
        "",
        '\tendpoints = {\n\t\t"other" = {\n\t\t\tstate = active\n\t\t\tpid = 1\n\t\t}\n\t}',
    ]
    if found["pid"]:
        lines.append(f"\tpid = {found['pid']}")
    lines.append(f"\tlast exit code = {found.get('code', '(never exited)')}")
    return "\n".join([*lines, "}\n"])


def main(verb: str, *words: str) -> int:
    if verb == "wait":
        return wait(words[0])
    if memory("refuses").exists():
        return fail(125, memory("refuses").read_text())
    domain, _, label = words[0].rpartition("/") if words[0].count("/") > 1 else (words[0], "", "")
    if verb == "print":
        sys.stdout.write(shown(label, domain) if label else f"{domain} = {{\n}}\n")
    elif verb == "print-disabled":
        listed = "".join(f'\t\t"{name}" => disabled\n' for name in disabled())
        sys.stdout.write(f"\n\tdisabled services = {{\n{listed}\t}}\n")
    elif verb in ("enable", "disable"):
        others = [name for name in disabled() if name != label]
        memory("disabled").write_text("\n".join([*others, label] if verb == "disable" else others))
    elif verb == "bootstrap":
        job = plistlib.loads(Path(words[1]).read_bytes())
        if job["Label"] in disabled() or path_of(job["Label"]).exists():
            return fail(5, "Bootstrap failed: 5: Input/output error")
        write(job["Label"], file=words[1], state="not running", pid=None)
        if job["RunAtLoad"]:
            start(job["Label"])
    elif verb == "kickstart":
        read(label)
        start(label)
    elif verb == "kill":
        os.kill(read(words[1].rpartition("/")[2])["pid"], getattr(signal, words[0]))
    elif verb == "bootout":
        found = read(label)
        path_of(label).unlink()
        if found["pid"]:
            os.kill(found["pid"], signal.SIGTERM)
    else:
        return fail(64, f"Unrecognized subcommand: {verb}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
