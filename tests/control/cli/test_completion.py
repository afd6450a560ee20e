"""Completion scripts of the shells: what they know, and what the shells make of them.

macOS has bash 3.2 as /bin/bash: no compopt, no associative arrays, and `source <(…)` reads nothing. The tests run every
bash there is (`MLX_SERVE_TEST_BASH` names one more), and the newer ones without what 3.2 lacks.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.control_daemon import Run
from support.waiting import GUARD, wait_until

_NAMES = ("bash", "/bin/bash", os.environ.get("MLX_SERVE_TEST_BASH", "bash"))
SHELLS = sorted({found for name in _NAMES if (found := shutil.which(name))})
ZSH, FISH = shutil.which("zsh"), shutil.which("fish")
WITHOUT = "enable -n compopt mapfile readarray 2>/dev/null\n"
LINES = {
    "pull --t": "--type",
    "pull --mode n": "nvfp4",
    "quantize --group-size 3": "32",
    "pull --type re": "reranker",
    "unl": "unload",
    "stop --f": "--force",
}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(run: Run, shell: str) -> None:
    script = run("completion", shell).stdout
    for word in ("unload", "dry-run", "reranker", "preload"):
        assert word in script


@pytest.mark.parametrize("shell", SHELLS)
def test_bash_completion_completes(run: Run, environment: dict[str, str], shell: str) -> None:
    script = WITHOUT + run("completion", "bash").stdout
    for words, found in LINES.items():
        ask = f'\nCOMP_WORDS=(mlx-serve {words}); COMP_CWORD={len(words.split())};_mlx_serve; echo "${{COMPREPLY[@]}}"'
        done = subprocess.run([shell, "-c", script + ask], env=environment, capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == (f"{found}\n", "")


def test_the_script_for_bash_uses_nothing_that_3_2_lacks(run: Run) -> None:
    script = run("completion", "bash").stdout
    newer = r"compopt|mapfile|readarray|coproc|declare -A|local -[An]|\|&|&>>|;;?&|<\(|\$\{\w+(\^|,)|\[-\d|printf -v"
    assert re.findall(newer, script) == []
    assert script.startswith('# bash completion for mlx-serve; use it with: eval "$(mlx-serve completion bash)"\n')


class Terminal:
    """A shell that believes to be used by a person."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._near, far = pty.openpty()
        self._process = subprocess.Popen(
            command, env=environment, stdin=far, stdout=far, stderr=far, start_new_session=True
        )
        os.close(far)
        self._seen = ""

    def type(self, text: str, expected: str) -> str:
        """What appears up to the first match."""
        os.write(self._near, text.encode())

        def found() -> re.Match[str] | None:
            if select.select([self._near], [], [], 0)[0]:
                self._seen += os.read(self._near, 4096).decode(errors="replace")
            return re.search(expected, self._seen)

        match = wait_until(found, f"{expected!r} after {text!r} in {self._seen!r}")
        assert match is not None
        shown, self._seen = self._seen[: match.end()], self._seen[match.end() :]
        return shown

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._near)


@pytest.fixture
def surroundings(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The command on PATH, in a folder with one file; nobody's own shell settings."""
    program = tmp_path / "bin" / "mlx-serve"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mlx_serve "$@"\n')
    program.chmod(0o755)
    (tmp_path / "a settings file").touch()
    return environment | {
        "PATH": f"{program.parent}:{environment['PATH']}",
        "HOME": str(tmp_path),
        "ZDOTDIR": str(tmp_path),
        "TERM": "dumb",
        "PS1": "> ",
    }


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_in_bash(surroundings: dict[str, str], tmp_path: Path, shell: str) -> None:
    """As README says to set it up: words of ours, and names of files where none of ours fits."""
    terminal = Terminal([shell, "--norc", "--noprofile", "-i"], surroundings)
    try:
        terminal.type(f"cd {tmp_path}; {WITHOUT}", r"> ")
        terminal.type('eval "$(mlx-serve completion bash)"; echo ready$((1+1))\n', "ready2")
        terminal.type("mlx-serve unl\t", "mlx-serve unload ")
        terminal.type("\x15mlx-serve pull --type re\t", "pull --type reranker ")
        terminal.type("\x15mlx-serve start --config a\\ s\t", r"start --config a\\ settings\\ file ")
    finally:
        terminal.close()


@pytest.mark.skipif(ZSH is None, reason="zsh is not installed")
@pytest.mark.parametrize("before", ["", "autoload -Uz compinit; compinit -i; "])
def test_tab_completes_in_zsh(surroundings: dict[str, str], before: str) -> None:
    """Also without compinit, which a new user's zsh has not run."""
    assert ZSH is not None
    terminal = Terminal([ZSH, "-f", "-i"], surroundings)
    try:
        line = f'PS1="> "; {before}eval "$(mlx-serve completion zsh)"; echo ready$((1+1))\n'
        assert "command not found" not in terminal.type(line, "ready2")
        terminal.type("mlx-serve unl\t", "mlx-serve unload ")
        terminal.type("\x15mlx-serve pull --type re\t", "reranker ")
    finally:
        terminal.close()


@pytest.mark.skipif(ZSH is None, reason="zsh is not installed")
def test_zsh_can_load_the_script_from_its_function_path(surroundings: dict[str, str], run: Run, tmp_path: Path) -> None:
    """As a packager installs it: a file `_mlx_serve`, found by compinit, that becomes the function at its first use."""
    assert ZSH is not None
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "_mlx_serve").write_text(run("completion", "zsh").stdout)
    terminal = Terminal([ZSH, "-f", "-i"], surroundings)
    try:
        line = f'PS1="> "; fpath=({tmp_path}/site $fpath); autoload -Uz compinit; compinit -u; echo ready$((1+1))\n'
        terminal.type(line, "ready2")
        terminal.type("mlx-serve unl\t", "mlx-serve unload ")
        terminal.type("\x15mlx-serve stop --f\t", r"mlx-serve stop --force ")
    finally:
        terminal.close()


@pytest.mark.skipif(FISH is None, reason="fish is not installed")
def test_fish_completes(surroundings: dict[str, str]) -> None:
    assert FISH is not None
    for words, found in LINES.items():
        code = f"mlx-serve completion fish | source; complete --do-complete='mlx-serve {words}'"
        command = [FISH, "--no-config", "-c", code]
        done = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=GUARD, check=True)
        assert found in [line.split("\t")[0] for line in done.stdout.splitlines()], (words, done.stdout)
