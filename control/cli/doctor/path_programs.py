"""Which `mlx-serve` a shell finds: the name belongs to another program on PyPI, and old environments stay on PATH."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .finding import Finding

NAME = "mlx-serve"
_SECONDS = 10.0


@dataclass(frozen=True)
class Program:
    """`version` is what it prints for `--version`, empty where it fails."""

    path: str
    version: str
    ours: bool


@dataclass(frozen=True)
class Programs:
    """Every `mlx-serve` on PATH in the shell's order; `own` is the one beside the Python that runs this."""

    found: tuple[Program, ...]
    own: str | None
    version: str


def look(version: str) -> Programs:
    own = Path(sys.executable).parent / NAME
    real = os.path.realpath(own) if own.exists() else None
    found, known = [], set()
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = Path(folder or ".", NAME)
        place = os.path.realpath(path)
        if place in known or not (path.is_file() and os.access(path, os.X_OK)):
            continue
        known.add(place)
        found.append(Program(str(path), _version(path), place == real))
    return Programs(tuple(found), str(own) if real else None, version)


def judge(programs: Programs) -> list[Finding]:
    findings = []
    others = [each for each in programs.found if not each.ours]
    first = programs.found[0] if programs.found else None
    wanted = f"{NAME} {programs.version}"
    for each in others:
        text = f"{each.path} {_what(each, wanted)}"
        if each is first and each.version != wanted:
            remedy = f"remove it (pip uninstall {NAME} with its Python), or put {_folder(programs.own)} first on PATH"
            findings.append(Finding("warning", "PATH", f"{text}, and a shell finds it first", remedy))
        else:
            findings.append(Finding("note", "PATH", text, f"remove it if you do not need it: it is a second {NAME}"))
    if first is None:
        text = f"no {NAME} is on PATH"
        remedy = f"add {_folder(programs.own)} to PATH" if programs.own else "pipx install puts it there"
        findings.append(Finding("note", "PATH", text, remedy))
    elif first.ours:
        findings.append(Finding("ok", "PATH", f"{first.path} is this {NAME}"))
    return findings


def _what(program: Program, wanted: str) -> str:
    if program.version == wanted:
        return "is the same version, installed elsewhere"
    if program.version.startswith(f"{NAME} "):
        return f"is {program.version}, and this is {wanted}"
    return f"is another program ({program.version})" if program.version else "is another program, or does not start"


def _folder(own: str | None) -> str:
    return str(Path(own).parent) if own else "this one's folder"


def _version(path: Path) -> str:
    """The first line that it prints; other programs may know no such option, or wait for something."""
    quiet = subprocess.DEVNULL
    try:
        done = subprocess.run([path, "--version"], stdin=quiet, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    return lines[0][:80] if lines and done.returncode == 0 else ""
