"""Completion scripts of the shells: what they know, and what bash makes of one."""

from __future__ import annotations

import subprocess

import pytest
from fakes.control_daemon import Run


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(run: Run, shell: str) -> None:
    script = run("completion", shell).stdout
    for word in ("unload", "dry-run", "reranker", "preload"):
        assert word in script


def test_bash_completion_completes(run: Run, environment: dict[str, str]) -> None:
    script = run("completion", "bash").stdout
    for words, found in {
        "pull --t": "--type",
        "pull --mode n": "nvfp4",
        "quantize --group-size 3": "32",
        "pull --type re": "reranker",
        "unl": "unload",
        "stop --f": "--force",
    }.items():
        ask = (
            f"\nCOMP_WORDS=(mlx-serve {words}); COMP_CWORD={len(words.split())}; compopt() {{ :; }};"
            '_mlx_serve; echo "${COMPREPLY[@]}"'
        )
        done = subprocess.run(["bash", "-c", script + ask], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == f"{found}\n"
