"""An agent's program, run once in an empty folder with an empty home, without a terminal."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from agents.programs import MODULES, program

LONGEST = 240  # seconds


@dataclass(frozen=True)
class Ran:
    status: int
    said: str
    complaints: str
    made: str | None
    """What is in made.txt; None where there is no such file."""


class Agent:
    """`home` is the user's home, where a program's settings are written; `folder` is where it works."""

    def __init__(self, root: Path) -> None:
        self.home, self.folder = root / "home", root / "work"
        self.home.mkdir()
        self.folder.mkdir()

    def settings(self, path: str, text: str) -> None:
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def run(self, name: str, *arguments: str, **environ: str) -> Ran:
        path = os.pathsep.join([str(MODULES / "node" / "bin"), os.environ["PATH"]])
        done = subprocess.run(
            [str(program(name)), *arguments],
            cwd=self.folder,
            env={"PATH": path, "HOME": str(self.home), "LANG": "C.UTF-8"} | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=LONGEST,
            check=False,
        )
        made = self.folder / "made.txt"
        return Ran(done.returncode, done.stdout, done.stderr, made.read_text() if made.exists() else None)
