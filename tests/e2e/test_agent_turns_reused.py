"""Twenty turns of agents as they really send them: of each but the first at least 95 % is not read again, whatever the
client puts in front or moves about."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.anthropic_models import write_agent_model
from support.client_shapes import FOLDER, needs_shapes, shape
from support.live_daemon import LiveDaemon

from mlx_serve.store.store import Store

pytestmark = needs_shapes
TURNS = 20
MODEL = "agent"
RESULT = "total 4\n-rw-r--r-- 1 user user 3 made.txt " * 8

Body = dict[str, Any]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    folder = tmp_path_factory.mktemp("agents")
    assert FOLDER is not None
    prompts = [path.read_text() for path in FOLDER.glob("*-[12].json")]
    Store.open(folder / "models").pull(str(write_agent_model(folder / MODEL, prompts)))
    with LiveDaemon(folder / "models") as running:
        yield running.ready()


def claude(turn: int) -> Body:
    """Its billing header has another number in each request, and the last block alone is marked for the cache."""
    body = copy.deepcopy(shape("claude-1", MODEL)) | {"stream": False}
    body["system"][0]["text"] = (
        f"x-anthropic-billing-header: cc_version=2.1.332.{turn:03x}; cc_entrypoint=cli; cch={turn};"
    )
    for number in range(turn):
        use = {"type": "tool_use", "id": f"toolu_{number:024}", "name": "Bash", "input": {"command": f"ls {number}"}}
        result = {"type": "tool_result", "tool_use_id": use["id"], "content": f"{number} {RESULT}", "is_error": False}
        if number == turn - 1:
            result["cache_control"] = {"type": "ephemeral"}
        body["messages"] += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    return body


def codex(turn: int) -> Body:
    """Its items have new ids in each request."""
    body = copy.deepcopy(shape("codex-1", MODEL)) | {"stream": False}
    for place, item in enumerate(body["input"]):
        if "id" in item:
            item["id"] = f"msg_{turn:08}-0000-4000-8000-{place:012}"
    for number in range(turn):
        call = f"call_{number:024}"
        body["input"] += [
            {
                "type": "function_call",
                "name": "exec_command",
                "arguments": f'{{"cmd": "ls {number}"}}',
                "call_id": call,
            },
            {"type": "function_call_output", "call_id": call, "output": f"{number} {RESULT}"},
        ]
    return body


def qwen_code(turn: int) -> Body:
    body = copy.deepcopy(shape("qwen-code-1", MODEL)) | {"stream": False}
    body.pop("stream_options")
    for number in range(turn):
        function = {"name": "run_shell_command", "arguments": f'{{"command": "ls {number}"}}'}
        call = {"id": f"call_{number:024}", "type": "function", "function": function}
        body["messages"] += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": [{"type": "text", "text": f"{number} {RESULT}"}]},
        ]
    return body


def of_messages(usage: Body) -> tuple[int, int]:
    return usage["cache_read_input_tokens"], usage["cache_read_input_tokens"] + usage["input_tokens"]


def of_responses(usage: Body) -> tuple[int, int]:
    return usage["input_tokens_details"]["cached_tokens"], usage["input_tokens"]


def of_chat(usage: Body) -> tuple[int, int]:
    return usage["prompt_tokens_details"]["cached_tokens"], usage["prompt_tokens"]


@pytest.mark.parametrize(
    ("path", "body", "counts"),
    [
        ("/v1/messages?beta=true", claude, of_messages),
        ("/v1/responses", codex, of_responses),
        ("/v1/chat/completions", qwen_code, of_chat),
    ],
)
def test_turns_two_to_twenty(
    daemon: LiveDaemon, path: str, body: Callable[[int], Body], counts: Callable[[Body], tuple[int, int]]
) -> None:
    for turn in range(TURNS):
        answer = daemon.post(path, **body(turn))
        assert answer.status == 200, answer.body[:500]
        cached, whole = counts(answer.json["usage"])
        assert whole > 3000 and (cached >= 0.95 * whole or not turn), (turn + 1, cached, whole)
