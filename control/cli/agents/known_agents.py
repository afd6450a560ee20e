"""Every program that `mlx-serve launch` knows: how it is installed, and how it is pointed at the daemon.

Where a program can be told by its environment or its arguments, no file of it is touched. The formats are those of the
versions that docs/clients.md names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .config_file import read, with_entry
from .setup import KEY_VARIABLE, ConfigFile, Served, Setup

PROVIDER = "mlx-serve"
_FAMILIES = ("HAIKU", "SONNET", "OPUS")


@dataclass(frozen=True)
class Agent:
    """`program` is looked for on PATH, `install` gets it there. `needs`: tokens of its first request, about, without
    the user's words; `tools`: it is of little use with a model that calls none."""

    name: str
    program: str
    install: str
    needs: int
    setup: Callable[[Served, Sequence[str]], Setup]
    tools: bool = True


def claude(served: Served, arguments: Sequence[str]) -> Setup:
    """Claude Code, over `/v1/messages`. Told nothing, it takes an unknown name's context for a million tokens, and lets
    the server judge each call of a tool (`auto` mode)."""
    models = {f"ANTHROPIC_DEFAULT_{family}_MODEL": served.model for family in _FAMILIES}
    environ = {
        "ANTHROPIC_BASE_URL": served.url,
        "ANTHROPIC_AUTH_TOKEN": served.key,
        "ANTHROPIC_MODEL": served.model,
        **models,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
    }
    if served.context:
        environ["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] = str(served.context)
    own = ("--permission-mode", "--dangerously-skip-permissions", "--settings")
    chosen = any(word.partition("=")[0] in own for word in arguments) or _mode_of_claude()
    without = ("ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX")
    return Setup(environ, without, () if chosen else ("--permission-mode", "default"))


def _mode_of_claude() -> bool:
    """Whether the user has chosen a mode in Claude Code's settings."""
    try:
        found = json.loads(read(Path("~/.claude/settings.json").expanduser()) or "{}")
    except ValueError:
        return False
    permissions = found.get("permissions") if isinstance(found, dict) else None
    return isinstance(permissions, dict) and "defaultMode" in permissions


def codex(served: Served, arguments: Sequence[str]) -> Setup:
    """Codex, over `/v1/responses`: a provider of its own, given by `-c`, whose values are TOML."""
    settings = {
        "model": served.model,
        "model_provider": PROVIDER,
        "web_search": "disabled",
        f"model_providers.{PROVIDER}.name": PROVIDER,
        f"model_providers.{PROVIDER}.base_url": f"{served.url}/v1",
        f"model_providers.{PROVIDER}.wire_api": "responses",
        f"model_providers.{PROVIDER}.env_key": KEY_VARIABLE,
    }
    words = [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in settings.items()]
    if served.context:
        words.append(f"model_context_window={served.context}")
    return Setup({KEY_VARIABLE: served.key}, arguments=tuple(part for word in words for part in ("-c", word)))


def opencode(served: Served, arguments: Sequence[str]) -> Setup:
    """opencode, over OpenAI's chat: its configuration comes in a variable, and is merged with the user's files."""
    model: dict[str, object] = {"tool_call": True, "reasoning": served.thinks, "attachment": served.sees}
    if served.context:
        model["limit"] = {"context": served.context, "output": served.output}
    if served.sees:
        model["modalities"] = {"input": ["text", "image"], "output": ["text"]}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": PROVIDER,
        "options": {"baseURL": f"{served.url}/v1", "apiKey": f"{{env:{KEY_VARIABLE}}}"},
        "models": {served.model: model},
    }
    name = f"{PROVIDER}/{served.model}"
    config = {"model": name, "small_model": name, "provider": {PROVIDER: provider}}
    content = json.dumps(config, ensure_ascii=False)
    return Setup({"OPENCODE_CONFIG_CONTENT": content, KEY_VARIABLE: served.key})


def qwen(served: Served, arguments: Sequence[str]) -> Setup:
    """Qwen Code, over OpenAI's chat. It has no variable for the context."""
    environ = {"OPENAI_API_KEY": served.key, "OPENAI_BASE_URL": f"{served.url}/v1", "OPENAI_MODEL": served.model}
    return Setup(environ, arguments=("--auth-type", "openai", "--model", served.model))


def pi(served: Served, arguments: Sequence[str]) -> Setup:
    """pi, over OpenAI's chat: a provider in its list of models, which is the only place for one."""
    model: dict[str, object] = {"id": served.model, "reasoning": served.thinks, "maxTokens": served.output}
    model["input"] = ["text", "image"] if served.sees else ["text"]
    if served.context:
        model["contextWindow"] = served.context
    provider = {
        "baseUrl": f"{served.url}/v1",
        "api": "openai-completions",
        "apiKey": f"${KEY_VARIABLE}",
        "models": [model],
    }
    file = with_entry(Path("~/.pi/agent/models.json").expanduser(), ("providers", PROVIDER), provider)
    words = ("--provider", PROVIDER, "--model", served.model)
    return Setup({KEY_VARIABLE: served.key}, arguments=words, files=(file,))


def continue_(served: Served, arguments: Sequence[str]) -> Setup:
    """Continue's command line, over OpenAI's chat, with a configuration of its own in mlx-serve's folder. JSON is YAML
    too."""
    model: dict[str, object] = {
        "name": served.model,
        "provider": "openai",
        "model": served.model,
        "apiBase": f"{served.url}/v1",
        "apiKey": served.key,
        "roles": ["chat", "edit", "apply"],
        "capabilities": ["tool_use", *(["image_input"] if served.sees else [])],
    }
    if served.context:
        model["defaultCompletionOptions"] = {"contextLength": served.context}
    config = {"name": PROVIDER, "version": "1.0.0", "schema": "v1", "models": [model]}
    file = ConfigFile(served.home / "launch" / "continue.yaml", _json(config))
    return Setup(arguments=("--config", str(file.path)), files=(file,))


def aider(served: Served, arguments: Sequence[str]) -> Setup:
    """aider, over OpenAI's chat; it learns the context of a model that it does not know from a file."""
    name = f"openai/{served.model}"
    words: tuple[str, ...] = ("--model", name, "--no-show-model-warnings")
    files: tuple[ConfigFile, ...] = ()
    if served.context:
        facts = {"max_tokens": served.output, "max_input_tokens": served.context, "max_output_tokens": served.output}
        costs = {"input_cost_per_token": 0, "output_cost_per_token": 0, "litellm_provider": "openai", "mode": "chat"}
        files = (ConfigFile(served.home / "launch" / "aider-models.json", _json({name: facts | costs})),)
        words += ("--model-metadata-file", str(files[0].path))
    environ = {"OPENAI_API_BASE": f"{served.url}/v1", "OPENAI_API_KEY": served.key}
    return Setup(environ, arguments=words, files=files)


def llm(served: Served, arguments: Sequence[str]) -> Setup:
    """llm with its plugin llm-ollama, which asks the daemon for its models."""
    environ = {"OLLAMA_HOST": served.url, "OLLAMA_API_KEY": served.key, "LLM_MODEL": served.model}
    return Setup(environ)


def open_webui(served: Served, arguments: Sequence[str]) -> Setup:
    """Open WebUI, whose page then is at http://127.0.0.1:8080. Its settings come from the environment at its first
    start only."""
    environ = {
        "OPENAI_API_BASE_URL": f"{served.url}/v1",
        "OPENAI_API_KEY": served.key,
        "ENABLE_OLLAMA_API": "False",
        "DEFAULT_MODELS": served.model,
    }
    return Setup(environ, arguments=() if arguments else ("serve", "--host", "127.0.0.1"))


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


AGENTS = (
    Agent("claude", "claude", "npm install -g @anthropic-ai/claude-code", 20_000, claude),
    Agent("codex", "codex", "npm install -g @openai/codex", 10_000, codex),
    Agent("opencode", "opencode", "npm install -g opencode-ai", 7_500, opencode),
    Agent("qwen", "qwen", "npm install -g @qwen-code/qwen-code", 19_000, qwen),
    Agent("pi", "pi", "npm install -g @earendil-works/pi-coding-agent", 1_500, pi),
    Agent("continue", "cn", "npm install -g @continuedev/cli", 2_000, continue_),
    Agent("aider", "aider", "pipx install aider-chat", 800, aider, tools=False),
    Agent("llm", "llm", "pipx install llm, then llm install llm-ollama", 0, llm, tools=False),
    Agent("open-webui", "open-webui", "pipx install open-webui", 0, open_webui, tools=False),
)


def find(name: str) -> Agent | None:
    """By the name of the client, or of its program."""
    return next((agent for agent in AGENTS if name in (agent.name, agent.program)), None)
