"""Claude Code itself: its tool runs, and it finishes with the model's sentence."""

from __future__ import annotations

import json

from agents.agent import Agent
from support.anthropic_models import AFTER
from support.live_daemon import LiveDaemon


def environment(daemon: LiveDaemon) -> dict[str, str]:
    return {
        "ANTHROPIC_BASE_URL": daemon.url,
        "ANTHROPIC_AUTH_TOKEN": "none",
        "ANTHROPIC_MODEL": "claude",
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": "claude",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_CONTEXT_TOKENS": "200000",
    }


def test_a_file_is_made(daemon: LiveDaemon, agent: Agent) -> None:
    ran = agent.run(
        "claude",
        *("-p", "Write hi into made.txt.", "--allowedTools", "Bash", "Read"),
        **environment(daemon),
    )
    assert (ran.status, ran.made, ran.said.strip()) == (0, "hi\n", AFTER), ran


def test_its_own_account(daemon: LiveDaemon, agent: Agent) -> None:
    """As JSON it tells the turns, and the tokens that the daemon counted: of the answers, and of the prompt, most of
    which was read once."""
    ran = agent.run(
        "claude",
        *("-p", "Write hi into made.txt.", "--output-format", "json", "--allowedTools", "Bash"),
        **environment(daemon),
    )
    account = json.loads(ran.said)
    assert (account["is_error"], account["num_turns"], account["result"].strip()) == (False, 2, AFTER)
    usage = account["usage"]
    assert usage["output_tokens"] > 0 and usage["cache_read_input_tokens"] > 0
