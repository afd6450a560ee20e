"""What /v1/tokenize and /v1/detokenize ask of a tokenizer, and what they make of its answers."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fakes.serving import MODEL, Serving
from support.sent_pictures import text

from mlx_serve.daemon import errors
from mlx_serve.daemon.protocol import ChatPrompt, Count, Counted, Detokenize, TextPrompt
from mlx_serve.store.disk.manifests import Overrides

HI = {"role": "user", "content": "hi"}


def asked(serving: Serving) -> Count | Detokenize:
    ((name, work),) = serving.residency.tokenizers.asked
    assert name == MODEL
    return work


async def test_texts(serving: Serving, client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/v1/tokenize", json={"model": MODEL, "input": ["a bc", ""], "add_special_tokens": False}
    )
    assert answer.json() == {
        "model": MODEL,
        "object": "list",
        "data": [
            {"index": 0, "object": "token_count", "token_count": 2},
            {"index": 1, "object": "token_count", "token_count": 0},
        ],
        "usage": {"total_tokens": 2},
    }
    prompts = tuple(TextPrompt(text=text, add_special_tokens=False) for text in ("a bc", ""))
    assert asked(serving) == Count(prompts=prompts)
    assert serving.residency.loaded == []


async def test_ids(serving: Serving, client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/tokenize", json={"model": MODEL, "input": "a bc", "return_tokens": True})
    assert answer.json()["data"] == [{"index": 0, "object": "token_count", "token_count": 2, "tokens": [1, 2]}]
    assert asked(serving) == Count(prompts=(TextPrompt(text="a bc"),), return_tokens=True)


async def test_many_ids_are_all_there(
    serving: Serving, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are written in pieces."""
    monkeypatch.setattr("mlx_serve.handlers.tokens.asking.AT_ONCE", 3)
    texts = ["a bb ccc dddd eeeee ffffff g", "", "hh"]
    answer = await client.post("/v1/tokenize", json={"model": MODEL, "input": texts, "return_tokens": True})
    assert [entry["tokens"] for entry in answer.json()["data"]] == [[1, 2, 3, 4, 5, 6, 1], [], [2]]


async def test_a_conversation(serving: Serving, client: httpx.AsyncClient) -> None:
    """With everything that a chat's template reads, and the model's own settings."""
    serving.store.add(MODEL, capabilities=("completion", "tools"), overrides=Overrides(system="Be brief."))
    tool = {"type": "function", "function": {"name": "look"}}
    body: dict[str, Any] = {
        "messages": [HI],
        "tools": [tool],
        "chat_template_kwargs": {"enable_thinking": False, "depth": 2},
        "add_generation_prompt": False,
    }
    assert (await client.post("/v1/tokenize", json={"model": MODEL} | body)).status_code == 200
    work = asked(serving)
    assert isinstance(work, Count)
    assert work.prompts == (
        ChatPrompt(
            messages=({"role": "system", "content": "Be brief."}, HI),
            tools=(tool,),
            thinking=False,
            template_options={"depth": 2},
            open_answer=False,
        ),
    )


TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
OF_A_CHAT: tuple[dict[str, Any], ...] = (
    {},
    {"messages": [HI, {"role": "assistant", "content": "Well"}], "continue_final_message": True},
    {"messages": [{"role": "user", "content": [text("a"), text("b")]}]},
    {"messages": [HI, {"role": "assistant", "reasoning": "hm", "content": "b"}, HI]},
    {"tools": [TOOL]},
    {"tools": [TOOL], "tool_choice": "none"},
    {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look"}}},
    {"reasoning_effort": "low"},
    {"reasoning": {"effort": "high", "max_tokens": 9}},
    {"thinking_budget": 7},
    {"chat_template_kwargs": {"enable_thinking": False, "depth": 2}},
)


@pytest.mark.parametrize("body", OF_A_CHAT, ids=str)
async def test_a_conversation_is_what_the_chat_endpoint_makes_of_it(
    serving: Serving, client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    """Every field that a chat template reads."""
    document = {"model": MODEL, "messages": [HI]} | body
    assert (await client.post("/v1/chat/completions", json=document)).status_code == 200
    assert (await client.post("/v1/tokenize", json=document)).status_code == 200
    work = asked(serving)
    assert isinstance(work, Count) and work.prompts == (serving.engine.requests[-1].prompt,)


@pytest.mark.parametrize(
    ("field", "value"), [("tool_choice", "look"), ("tool_choice", "required"), ("thinking_budget", -1)]
)
async def test_what_the_chat_endpoint_refuses(client: httpx.AsyncClient, field: str, value: Any) -> None:
    document = {"model": MODEL, "messages": [HI], field: value}
    answers = [await client.post(path, json=document) for path in ("/v1/chat/completions", "/v1/tokenize")]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[0].json() == answers[1].json() and answers[0].json()["error"]["param"] == field


async def test_a_conversation_and_what_the_model_cannot_do(serving: Serving, client: httpx.AsyncClient) -> None:
    """As the chat endpoint says it."""
    serving.store.add(MODEL, capabilities=("completion",))
    for field, value, param in (
        ("tools", [{"type": "function", "function": {"name": "look"}}], "tools"),
        ("reasoning_effort", "high", "reasoning_effort"),
        ("chat_template_kwargs", {"enable_thinking": True}, "chat_template_kwargs.enable_thinking"),
    ):
        answer = await client.post("/v1/tokenize", json={"model": MODEL, "messages": [HI], field: value})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert serving.residency.tokenizers.asked == []


@pytest.mark.parametrize("tokens", [[3, 1], [[3, 1], []]])
async def test_back_to_text(serving: Serving, client: httpx.AsyncClient, tokens: Any) -> None:
    answer = await client.post("/v1/detokenize", json={"model": MODEL, "tokens": tokens, "skip_special_tokens": True})
    texts = ["xxx x", ""] if isinstance(tokens[0], list) else ["xxx x"]
    assert answer.json() == {
        "model": MODEL,
        "object": "list",
        "data": [{"index": place, "object": "text", "text": text} for place, text in enumerate(texts)],
        "usage": {"total_tokens": 2},
    }
    sequences = ((3, 1), ()) if len(texts) == 2 else ((3, 1),)
    assert asked(serving) == Detokenize(sequences=sequences, skip_special_tokens=True)


FAILURES = {
    "no such token": (errors.RequestRejected("invalid_request", "no token 9", "tokens"), 400, "tokens"),
    "too large": (errors.RequestRejected("invalid_request", "5 MB", "input"), 400, "input"),
    "a bad template": (errors.RequestRejected("template_error", "it hangs", "messages"), 400, "messages"),
    "many wait": (errors.QueueFull(7), 503, None),
    "a damaged tokenizer": (errors.LoadError(MODEL, "tokenizer.json is not JSON"), 500, None),
    "a process that died": (errors.RunnerDied(MODEL, "SIGKILL"), 500, None),
    "the end of the daemon": (errors.Draining(), 503, None),
    "a fault of ours": (ValueError("secret"), 500, None),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_failures(serving: Serving, client: httpx.AsyncClient, case: str) -> None:
    error, status, param = FAILURES[case]
    serving.residency.tokenizers.failure = error
    answer = await client.post("/v1/tokenize", json={"model": MODEL, "input": "a"})
    assert answer.status_code == status
    told = answer.json()["error"]
    assert told["param"] == param and "secret" not in told["message"]
    assert ("retry-after" in answer.headers) == (status == 503)
    assert f'endpoint="/v1/tokenize",model="acme/parrot",status="{status}"'.encode() in serving.scrape()


async def test_the_name_that_the_client_used_is_the_one_at_fault(serving: Serving, client: httpx.AsyncClient) -> None:
    serving.residency.tokenizers.failure = errors.RequestRejected("invalid_request", "5 MB", "input")
    answer = await client.post("/v1/tokenize", json={"model": MODEL, "prompt": "a"})
    assert answer.json()["error"]["param"] == "prompt"


async def test_an_answer_of_another_kind_is_a_fault(
    serving: Serving, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(*_: Any) -> Counted:
        return Counted(id=1, counts=(1,))

    monkeypatch.setattr(serving.residency.tokenizers, "ask", ask)
    assert (await client.post("/v1/detokenize", json={"model": MODEL, "tokens": [1]})).status_code == 500
