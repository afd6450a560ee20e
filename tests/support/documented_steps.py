"""What documents tell a reader to type, typed as it stands there: commands, programs, and requests by curl."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from support.live_daemon import run_command
from support.waiting import GUARD

from mlx_serve.control.socket import socket_path

FENCE = re.compile(r"```(sh|python)\n(.*?)```", re.DOTALL)
ALREADY_RUNNING = 75
_COMMAND = re.compile(r"(?:mlx-serve|curl) |[A-Z]+=.*curl ", re.DOTALL)


@dataclass(frozen=True)
class Step:
    kind: Literal["mlx-serve", "curl", "python"]
    text: str


def steps(document: Path) -> Iterator[Step]:
    """Every command of the shell blocks that is ours or curl's, and every program, in order."""
    for language, block in FENCE.findall(document.read_text(encoding="utf-8")):
        if language == "python":
            yield Step("python", block)
            continue
        for statement in statements(block):
            if _COMMAND.match(statement):
                yield Step("mlx-serve" if statement.startswith("mlx-serve ") else "curl", statement)


def statements(block: str) -> Iterator[str]:
    """A block's lines, those of one command together: it goes on after a backslash and within quotes."""
    whole = ""
    for line in block.splitlines():
        whole += f"{line}\n"
        if not line.endswith("\\") and whole.count("'") % 2 == 0:
            yield whole.strip()
            whole = ""
    assert not whole, f"a quote is not closed: {whole}"


class Reader:
    """Types the steps of documents, at the daemon of the home and port that `environ` names."""

    def __init__(self, environ: dict[str, str], folder: Path) -> None:
        self.environ = environ
        self.port = environ["MLX_SERVE_PORT"]
        self.home = Path(environ["MLX_SERVE_HOME"])
        curl = shutil.which("curl")
        if curl:  # one that fails where the answer is an error, and shows it
            script = folder / "curl"
            script.write_text(f'#!/bin/sh\nexec {curl} -sS --fail-with-body "$@"\n')
            script.chmod(0o755)
            environ["PATH"] = f"{folder}:{environ['PATH']}"
        self._curl = curl is not None

    def do(self, step: Step) -> bool:
        """Whether it could be done here. AssertionError where it does not do what a reader expects."""
        text = step.text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        text = text.replace("~/.mlx-serve/run/8000.sock", shlex.quote(str(socket_path(self.home, int(self.port)))))
        if step.kind == "mlx-serve":
            done = run_command(*shlex.split(text, comments=True)[1:], environ=self.environ)
            if done.returncode == ALREADY_RUNNING and text.startswith("mlx-serve start"):
                return True
        elif step.kind == "python":
            if not importable(text):
                return False
            done = self._run([sys.executable, "-W", "error", "-c", text])
        elif self._curl:
            done = self._run(["sh", "-ec", text])
        else:
            return False
        assert done.returncode == 0, (text, done)
        assert done.stdout or step.kind == "curl", text
        return True

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GUARD,
            check=False,
        )


def importable(program: str) -> bool:
    """Whether every package that a program imports is here."""
    names = set()
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return all(importlib.util.find_spec(name.partition(".")[0]) for name in names)
