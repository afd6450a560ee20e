"""aider itself, as a client of OpenAI's chat and of Ollama: the file that the model writes is written, and committed to
no repository."""

from __future__ import annotations

import pytest
from agents.agent import Agent
from agents.programs import AIDER, program
from support.live_daemon import LiveDaemon

pytestmark = pytest.mark.skipif(not program("aider").exists(), reason=f"{AIDER} wants a Python below 3.13")
QUIET = ("--no-check-update", "--analytics-disable", "--no-show-model-warnings", "--no-git", "--no-pretty")


@pytest.mark.parametrize(
    ("model", "base", "path"),
    [("openai/whole-file", "OPENAI_API_BASE", "/v1"), ("ollama_chat/whole-file", "OLLAMA_API_BASE", "")],
)
def test_a_file_is_written(daemon: LiveDaemon, agent: Agent, model: str, base: str, path: str) -> None:
    environ = {base: daemon.url + path, "OPENAI_API_KEY": "none", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    asked = ("--edit-format", "whole", "--message", "write hi", "--yes-always", "made.txt")
    ran = agent.run("aider", *QUIET, "--model", model, *asked, **environ)
    assert (ran.status, ran.made) == (0, "hi\n"), ran
