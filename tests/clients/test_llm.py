"""The command `llm` with the plugin `llm-ollama` against the real daemon, and without it over OpenAI's chat."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from clients.conftest import KEY
from support.live_daemon import LiveDaemon
from support.spoken_agent import TEXTS

TOOLS = """
def weather(city: str) -> str:
    "The weather of a city."
    return f"fine in {city}"
"""
EXTRA = """\
- model_id: ours
  model_name: sentence
  api_base: {url}/v1
  api_key_name: ours
"""


class Llm:
    """The command, with a home of its own."""

    def __init__(self, program: Path, home: Path) -> None:
        self._program, self.home = program, home

    def __call__(self, daemon: LiveDaemon, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LLM_USER_PATH": str(self.home), "NO_PROXY": "*"}
        return subprocess.run(
            [str(self._program), *arguments],
            env=environ | {"OLLAMA_HOST": daemon.url} | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )


@pytest.fixture
def llm(folder: Path, tmp_path: Path) -> Llm:
    return Llm(folder / "bin" / "llm", tmp_path)


def test_the_list(daemon: LiveDaemon, llm: Llm) -> None:
    """Models that talk, and models that embed, each where it belongs."""
    ran = llm(daemon, "models")
    assert ran.returncode == 0, ran.stderr
    assert "Ollama: ollama/sentence:latest" in ran.stdout and "starter-embed" not in ran.stdout
    embedding = llm(daemon, "embed-models")
    assert "starter-embed" in embedding.stdout, embedding.stderr


@pytest.mark.parametrize("flags", [(), ("--no-stream",)], ids=["streamed", "whole"])
def test_a_prompt(daemon: LiveDaemon, llm: Llm, flags: tuple[str, ...]) -> None:
    ran = llm(daemon, "-m", "ollama/sentence", *flags, "hi")
    assert (ran.returncode, ran.stdout.strip()) == (0, TEXTS["sentence"]), ran.stderr
    log = json.loads(llm(daemon, "logs", "--json").stdout)
    assert log[0]["input_tokens"] > 0 and log[0]["output_tokens"] > 0


def test_tools(daemon: LiveDaemon, llm: Llm) -> None:
    """It runs both functions, and ends with the sentence."""
    ran = llm(daemon, "-m", "ollama/two-calls", "--functions", TOOLS, "--tools-debug", "What is the weather?")
    assert ran.returncode == 0 and ran.stdout.strip().endswith(TEXTS["sentence"]), ran
    assert "fine in Rome" in ran.stderr and "fine in Oslo" in ran.stderr


def test_a_schema(daemon: LiveDaemon, llm: Llm) -> None:
    ran = llm(daemon, "-m", "ollama/json", "--schema", "city, days int", "Where?")
    assert ran.returncode == 0, ran.stderr
    trip = json.loads(ran.stdout)
    assert trip["city"] == "Rome" and isinstance(trip["days"], int)


def test_a_thought(daemon: LiveDaemon, llm: Llm) -> None:
    """The answer is without it."""
    ran = llm(daemon, "-m", "ollama/thought", "Think.")
    assert (ran.returncode, ran.stdout.strip()) == (0, "The answer is 42."), ran.stderr


def test_a_vector(daemon: LiveDaemon, llm: Llm) -> None:
    ran = llm(daemon, "embed", "-m", "ollama/starter-embed", "-c", "a cat")
    assert ran.returncode == 0 and len(json.loads(ran.stdout)) > 10, ran.stderr


def test_errors(daemon: LiveDaemon, llm: Llm) -> None:
    """The daemon's own sentence is what the person reads."""
    wrong = llm(daemon, "-m", "ollama/sentence", "-o", "presence_penalty", "77", "hi")
    assert wrong.returncode == 1 and "presence_penalty" in wrong.stderr, wrong


def test_over_openai_and_a_bad_key(daemon: LiveDaemon, locked: LiveDaemon, llm: Llm) -> None:
    """A model of `extra-openai-models.yaml`."""
    (llm.home / "extra-openai-models.yaml").write_text(EXTRA.format(url=daemon.url))
    ran = llm(daemon, "-m", "ours", "--key", "none", "hi")
    assert (ran.returncode, ran.stdout.strip()) == (0, TEXTS["sentence"]), ran.stderr
    (llm.home / "extra-openai-models.yaml").write_text(EXTRA.format(url=locked.url).replace("sentence", "starter"))
    assert llm(locked, "-m", "ours", "--key", KEY, "hi").returncode == 0
    refused = llm(locked, "-m", "ours", "--key", "a-key-that-is-wrong", "hi")
    assert refused.returncode == 1 and "API key" in refused.stderr, refused
