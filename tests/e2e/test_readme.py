"""What the README tells a new user to type, typed as it stands there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from fakes.hub.server import Hub
from support.live_daemon import clean_environment, free_port, run_command
from support.waiting import GUARD

README = Path(__file__).parents[2] / "README.md"
FENCE = re.compile(r"```(sh|python)\n(.*?)```", re.DOTALL)
ELSEWHERE = ("./my-model",)
STARTER = Path(__file__).parents[2] / "store" / "builtins" / "starter"
REPOSITORIES = ("mlx-community/Qwen3-0.6B-4bit", "Qwen/Qwen3-0.6B")


def steps() -> list[tuple[str, str]]:
    """Every command and program of the README, in order; what installs things, and what needs a network, left out."""
    found = []
    for language, block in FENCE.findall(README.read_text()):
        if language == "python":
            found.append(("python", block))
            continue
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith(("mlx-serve ", "curl ")) and not any(word in line for word in ELSEWHERE):
                found.append((line.split()[0], line))
    return found


def test_every_command_and_program_of_the_readme_works_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a checkout, whose files it names."""
    monkeypatch.chdir(README.parent)
    with tempfile.TemporaryDirectory(prefix="mlxs-") as folder, Hub() as hub:
        for repository in REPOSITORIES:  # the names are the README's, the files those of a model that is small
            hub.add(repository, {path.name: path for path in STARTER.iterdir()})
        port = str(free_port())
        environ = clean_environment() | {
            "MLX_SERVE_HOME": f"{folder}/home",
            "MLX_SERVE_PORT": port,
            "MLX_SERVE_HOST": "127.0.0.1",
            "TMPDIR": folder,
            "HF_ENDPOINT": hub.url,
            "HF_HOME": f"{folder}/hub",
        }
        try:
            for kind, text in steps():
                text = text.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
                if kind == "mlx-serve":
                    done = run_command(*shlex.split(text)[1:], environ=environ)
                elif kind == "python":
                    done = run([sys.executable, "-W", "error", "-c", text], environ)
                elif shutil.which("curl"):
                    done = run(["sh", "-c", text], environ)
                    answer = json.loads(done.stdout)
                    assert any(answer.get(field) for field in ("choices", "data", "results")), done
                else:
                    continue
                assert done.returncode == 0, (text, done)
                assert done.stdout, text
        finally:
            run_command("stop", "--all", "--force", environ=environ)


def run(command: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=GUARD, check=False
    )


EVERYDAY = ("start", "pull", "quantize", "run", "list", "show", "ps", "copy", "remove", "unload", "stop")


@pytest.mark.parametrize("word", EVERYDAY)
def test_the_readme_shows_every_everyday_command(word: str) -> None:
    assert any(text.startswith(f"mlx-serve {word}") for kind, text in steps() if kind == "mlx-serve")
