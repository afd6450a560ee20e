"""`mlx-serve launch` with the programs themselves: each runs its tool and ends with the model's sentence, with nothing
in its home but what launch has written."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest
from agents.agent import LONGEST, Agent
from agents.programs import AIDER, MODULES, VENV, program
from support.anthropic_models import AFTER
from support.live_daemon import LiveDaemon
from support.spoken_agent import TEXTS

KEY = "a-key-of-the-tests-own"
ALLOWED = '{"permission": {"bash": "allow", "edit": "allow"}}'
QUIET = ("--no-check-update", "--analytics-disable", "--no-git", "--no-pretty", "--yes-always")
FLAGS = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")


@dataclass(frozen=True)
class Case:
    client: str
    model: str
    arguments: tuple[str, ...]
    says: str = TEXTS["sentence"]
    settings: tuple[str, str] | None = None
    """A file of the user's own, and what is in it."""


CASES = [
    Case("claude", "claude", ("-p", "Write hi into made.txt.", "--allowedTools", "Bash", "Read"), AFTER),
    Case("codex", "exec", ("exec", *FLAGS, "make a file")),
    Case("opencode", "bash", ("run", "make a file"), settings=(".config/opencode/opencode.json", ALLOWED)),
    Case("qwen", "run-shell-command", ("--yolo", "-p", "make a file")),
    Case("pi", "bash", ("--offline", "-p", "make a file")),
    Case("continue", "capital-bash", ("--auto", "-p", "make a file")),
    Case("aider", "whole-file", (*QUIET, "--edit-format", "whole", "--message", "write hi", "made.txt"), "made.txt"),
]


def made(agent: Agent) -> str | None:
    file = agent.folder / "made.txt"
    return file.read_text() if file.exists() else None


def run(daemon: LiveDaemon, agent: Agent, case: Case) -> subprocess.CompletedProcess[str]:
    if case.client == "aider" and not program("aider").exists():
        pytest.skip(f"{AIDER} wants a Python below 3.13")
    if case.settings is not None:
        agent.settings(*case.settings)
    return launched(daemon, agent, case.client, "--model", case.model, "--yes", "--", *case.arguments)


def launched(daemon: LiveDaemon, agent: Agent, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`mlx-serve launch` in the agent's empty folder and home."""
    path = os.pathsep.join(
        [str(MODULES / ".bin"), str(MODULES / "node" / "bin"), str(VENV / "bin"), os.environ["PATH"]]
    )
    own = {
        "PATH": path,
        "HOME": str(agent.home),
        "PWD": str(agent.folder),
        "CONTINUE_TELEMETRY_ENABLED": "0",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    return subprocess.run(
        [sys.executable, "-m", "mlx_serve", "launch", "--port", str(daemon.port), *arguments],
        cwd=agent.folder,
        env=daemon.environ | own,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=LONGEST,
        check=False,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.client)
def test_its_tool_runs(daemon: LiveDaemon, agent: Agent, case: Case) -> None:
    done = run(daemon, agent, case)
    assert (done.returncode, made(agent)) == (0, "hi\n"), done
    assert case.says in done.stdout, done


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.client)
def test_a_daemon_that_always_wants_a_key_gets_it(daemon: LiveDaemon, agent: Agent, case: Case) -> None:
    """The key that the daemon was started with, which the command is not told."""
    keys = {"server_require_keys": "always", "server_api_keys": KEY}
    with LiveDaemon(daemon.home / "models", cache_max_llm_models=2, **keys) as strict:
        strict.ready()
        done = run(strict, agent, case)
    assert made(agent) == "hi\n", done
    assert case.says in done.stdout and KEY not in done.stderr, done


def test_claude_compacts_at_the_context_that_the_model_has(daemon: LiveDaemon, agent: Agent) -> None:
    """What Claude Code itself says of its context is what the daemon said."""
    shown = launched(daemon, agent, "claude", "--model", "claude", "--", "-p", "/context")
    card = daemon.get("/v1/models/claude").json
    assert f"{card['context_length'] / 1000:.1f}".rstrip("0").rstrip(".") in shown.stdout, shown
