"""Clients of other makers: what of them was run, with the versions that the tests pin."""

from __future__ import annotations

import json
from pathlib import Path

from agents.programs import AIDER, PACKAGES

_CLIENTS = Path(__file__).parents[1] / "clients"
_CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"

_EVERY = "in every test run"
_MADE = "`make clients`"
_AGENT = "`make agents`"
_WHAT = {
    "openai": (
        f"{_EVERY}: chat, completions, embeddings, models and responses, whole, streamed and asynchronous, `parse`, "
        "tools, pictures, errors"
    ),
    "ollama": (
        f"{_EVERY}: chat, generation and embeddings, whole, streamed and asynchronous; list, show, ps, pull, copy, "
        "delete, create; `push`, which is refused with a sentence; errors"
    ),
    "anthropic": (
        f"{_EVERY}: messages whole, streamed and asynchronous, its stream helper and its tool runner, thinking, tools "
        "(forced ones too), pictures, structured output, `count_tokens`, models, errors"
    ),
    "langchain-openai": (
        f"{_MADE}: over chat and over the Responses API: text, streams, two calls and their results, pictures, "
        "structured output by each of its ways, a prompt that is too long as its `ContextOverflowError`, a wrong key; "
        "thoughts and `use_previous_response_id` over the Responses API (over chat it drops thoughts); completions; "
        "embeddings with `check_embedding_ctx_length=False`"
    ),
    "langchain-ollama": (
        f"{_MADE}: text, streams, two calls and their results, thoughts, pictures, structured output, generation, "
        "embeddings, its check of the name, errors, a wrong key"
    ),
    "litellm": (
        f"{_MADE}: as `openai/`, `hosted_vllm/`, `ollama_chat/`, `ollama/` and `anthropic/`: text and streams; tools, "
        "structured output, thoughts, errors and a wrong key as all but `ollama/`; responses, completions, embeddings, "
        "reranking. Of two calls in a stream of `ollama_chat/` it makes one, which is its own fault"
    ),
    "llm": f"{_MADE}: a model of `extra-openai-models.yaml`, a wrong key",
    "llm-ollama": (
        f"{_MADE}: the lists, a prompt whole and streamed, functions, a schema, a model that thinks, a vector, an error"
    ),
}
_NPM = {
    "openai": (
        f"{_MADE}: chat, its stream helper and its runner of tools, structured output, responses with their stream "
        "helper, embeddings, models, a stream that is left, errors, a wrong key"
    ),
    "ollama": (
        f"{_MADE}: chat, thoughts, tools, a format, generation, embeddings, the lists, pull, copy, delete, a stream "
        "that is left, errors, a wrong key"
    ),
    "@anthropic-ai/claude-code": (
        f"{_AGENT}: a call of Bash and its result, its own account in JSON. By hand: with and without its search "
        " of tools, experimental betas, thinking and its attribution header, under an unknown name and as "
        "`claude-sonnet-4-5`; `/context`; its list of models; a prompt that is too long. What it sent on other "
        "occasions is replayed in tests"
    ),
    "@openai/codex": f"{_AGENT}: `exec_command`, `apply_patch`, a thought and a command; `--oss` as a client of Ollama",
    "@earendil-works/pi-coding-agent": f"{_AGENT}: bash, over chat, responses and messages",
    "opencode-ai": f"{_AGENT}: bash, over chat",
    "@qwen-code/qwen-code": f"{_AGENT}: run_shell_command, over chat",
    "@continuedev/cli": f"{_AGENT}: Bash, as provider `openai` and as `ollama`",
}


def rows() -> list[tuple[str, str, str]]:
    """Name with a link, version, what of it was run."""
    pins = [*_CONSTRAINTS.read_text().splitlines(), *(_CLIENTS / "requirements.txt").read_text().splitlines(), AIDER]
    python = dict(line.split("==") for line in pins if "==" in line)
    npm = json.loads((_CLIENTS / "package.json").read_text())["dependencies"] | PACKAGES
    aider, _, version = AIDER.partition("==")
    return [
        *((f"[`{name}`](https://pypi.org/project/{name}/)", python[name], what) for name, what in _WHAT.items()),
        *((f"[`{name}` (npm)](https://www.npmjs.com/package/{name})", npm[name], what) for name, what in _NPM.items()),
        (
            f"[`{aider}`](https://pypi.org/project/{aider}/)",
            version,
            f"{_AGENT}: a file in the format `whole`, as `openai/` and as `ollama_chat/`",
        ),
    ]
