"""Ollama's endpoints over a real connection: the shapes of its lines and the words of its errors."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fakes.engine import finished, says, speak
from fakes.serving import MODEL, Serving
from fakes.store import DIGEST, SIZE

from mlx_serve.daemon.errors import RequestRejected
from mlx_serve.daemon.protocol import Accepted, ChatPrompt, Delta, Event, Generate, TextPrompt, TokenLogprob, ToolCall

HI = {"model": "parrot", "messages": [{"role": "User", "content": "hi", "images": []}]}
FINAL = {"total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"}


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    """The documents of an NDJSON answer: one a line, none empty, no `error` key in a good one."""
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.text.endswith("\n") and "\n\n" not in response.text
    documents = [json.loads(line) for line in response.text.splitlines()]
    assert all("error" not in document for document in documents)
    return documents


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_stream_shape(client: httpx.AsyncClient, path: str) -> None:
    """Streaming is the default; the model's name comes back as it was sent; the last line has done and the numbers."""
    *parts, last = lines(await client.post(path, json=HI | {"prompt": "hi"}))
    texts = [p["message"]["content"] if path == "/api/chat" else p["response"] for p in parts]
    assert "".join(texts) == "Hello world" and not any(p["done"] for p in parts)
    assert {p["model"] for p in (*parts, last)} == {"parrot"}
    assert last["done"] is True and last["done_reason"] == "stop" and set(last) >= FINAL
    assert (
        last["load_duration"] == 125_000_000 and last["prompt_eval_duration"] == 250_000_000 and last["eval_count"] == 4
    )
    for document in (*parts, last):
        assert document["created_at"].endswith("Z") and datetime.fromisoformat(document["created_at"])
        assert path == "/api/generate" or document["message"]["role"] == "assistant"
    assert (last.get("context") == [1, 2, 3]) == (path == "/api/generate")


async def test_whole_answers(serving: Serving, client: httpx.AsyncClient) -> None:
    chat = (await client.post("/api/chat", json=HI | {"stream": False})).json()
    assert chat["message"] == {"role": "assistant", "content": "Hello world"} and chat["done"] and set(chat) >= FINAL
    serving.engine.script = says(Delta(id=1, text="a"), finished("length"))
    text = (await client.post("/api/generate", json={"model": MODEL, "prompt": "x", "stream": False})).json()
    assert text["response"] == "a" and text["done_reason"] == "length"


async def test_options_reach_the_engine(serving: Serving, client: httpx.AsyncClient) -> None:
    """Ollama's names become ours, its defaults stand below the model's own; unknown options are ignored."""
    options = {
        "temperature": 3,
        "top_k": -1,
        "top_p": 0,
        "repeat_penalty": 1.2,
        "repeat_last_n": -1,
        "seed": 7,
        "num_predict": 5.9,
        "num_ctx": 1e6,
        "stop": ["a"],
        "mirostat": 2,
        "num_gpu": None,
    }
    await client.post("/api/chat", json=HI | {"options": options, "keep_alive": -1})
    [request] = serving.engine.requests
    drawn = request.sampling
    assert (drawn.temperature, drawn.top_k, drawn.top_p, drawn.repetition_penalty, drawn.seed) == (3, 0, 1e-6, 1.2, 7)
    assert drawn.penalty_window == 0  # all of them
    assert (request.max_tokens, request.context_length, request.stop) == (5, 4096, ("a",))
    assert (request.fallback.temperature, request.fallback.top_k, request.fallback.top_p) == (0.8, 40, 0.9)
    assert serving.residency.keep_alive == [-1.0]
    await client.post(
        "/api/chat", json=HI | {"options": {"seed": -1, "num_predict": -1, "repeat_last_n": 0, "repeat_penalty": 1.5}}
    )
    silent = serving.engine.requests[1]
    assert silent.sampling.seed is None and silent.max_tokens is None and silent.sampling.repetition_penalty == 1.0


async def test_chat_prompt(serving: Serving, client: httpx.AsyncClient) -> None:
    """Roles in any case, tool arguments as objects, thinking on where the model can, the oldest messages may go."""
    messages = [
        {"role": "USER", "content": "a"},
        {
            "role": "assistant",
            "content": "",
            "thinking": "t",
            "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}],
        },
        {"role": "tool", "content": "1", "tool_name": "f"},
    ]
    await client.post("/api/chat", json={"model": MODEL, "messages": messages, "think": "max"})
    await client.post("/api/chat", json={"model": MODEL, "messages": messages, "truncate": False})
    first, second = (request.prompt for request in serving.engine.requests)
    assert isinstance(first, ChatPrompt) and isinstance(second, ChatPrompt)
    assert [m["role"] for m in first.messages] == ["user", "assistant", "tool"]
    assert first.messages[1]["tool_calls"][0]["function"] == {"name": "f", "arguments": {"x": 1}}
    assert (first.thinking, second.thinking, first.drop_oldest, second.drop_oldest) == ("high", True, True, False)


async def test_tools_and_thinking_come_back(serving: Serving, client: httpx.AsyncClient) -> None:
    """Arguments are objects, calls are counted, thinking has a field of its own."""
    calls = (ToolCall(name="f", arguments='{"b":1,"a":2}'),)
    serving.engine.script = says(
        Delta(id=1, reasoning="hm"),
        Delta(id=1, text="x"),
        Delta(id=1, tool_calls=calls),
        Delta(id=1, tool_calls=calls),
        finished("tool_calls"),
    )
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    whole = (await client.post("/api/chat", json=HI | {"tools": tools, "stream": False})).json()
    assert whole["message"]["thinking"] == "hm" and whole["done_reason"] == "stop"
    assert whole["message"]["tool_calls"][0]["function"] == {"index": 0, "name": "f", "arguments": {"b": 1, "a": 2}}
    streamed = lines(await client.post("/api/chat", json=HI | {"tools": tools}))
    assert [c["function"]["index"] for d in streamed for c in d["message"].get("tool_calls", [])] == [0, 1]
    assert streamed[0]["message"] == {"role": "assistant", "content": "", "thinking": "hm"}


async def test_logprobs(serving: Serving, client: httpx.AsyncClient) -> None:
    token = TokenLogprob(token="é", logprob=-0.5, top=(TokenLogprob(token="e", logprob=-1.0),))
    serving.engine.script = says(Delta(id=1, text="é", logprobs=(token,)), finished())
    first, _ = lines(await client.post("/api/chat", json=HI | {"logprobs": True, "top_logprobs": 1}))
    assert first["logprobs"] == [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [{"token": "e", "logprob": -1.0, "bytes": [101]}],
        }
    ]


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_load_and_unload(serving: Serving, client: httpx.AsyncClient, path: str) -> None:
    """An empty prompt loads, with keep_alive 0 it unloads; one JSON document either way, whatever `stream` says."""
    loaded = await client.post(path, json={"model": "parrot", "stream": True, "keep_alive": "10m"})
    assert loaded.headers["content-type"] == "application/json; charset=utf-8"
    assert loaded.json()["done"] is True and loaded.json()["done_reason"] == "load"
    assert serving.residency.loaded == ["acme/parrot"] and serving.residency.keep_alive == [600.0]
    empty = {"prompt": "", "messages": []}
    gone = (await client.post(path, json={"model": "parrot", "keep_alive": 0} | empty)).json()
    assert gone["done_reason"] == "unload" and serving.residency.unloaded == ["acme/parrot"]
    assert serving.residency.loaded == ["acme/parrot"] and serving.engine.requests == []


async def test_generate_prompts(serving: Serving, client: httpx.AsyncClient) -> None:
    """System and prompt go through the template, raw does not, a context is put before the rendered text."""
    base = {"model": MODEL, "prompt": "hi", "stream": False}
    await client.post("/api/generate", json=base | {"system": "be"})
    raw = (await client.post("/api/generate", json=base | {"raw": True})).json()
    await client.post("/api/generate", json=base | {"context": [5, 6]})
    templated, plain, rendering, continued = (request.prompt for request in serving.engine.requests)
    assert isinstance(templated, ChatPrompt) and [m["role"] for m in templated.messages] == ["system", "user"]
    assert plain == TextPrompt(text="hi", drop_middle=True) and "context" not in raw
    assert isinstance(rendering, ChatPrompt)
    assert continued == TextPrompt(text="<rendered>", add_special_tokens=False, history=(5, 6), drop_middle=True)


async def test_a_long_prompt_is_cut_and_says_so(serving: Serving, client: httpx.AsyncClient) -> None:
    """A template that does not fit is rendered and cut in the middle; truncate false makes it an error."""

    def script(request: Generate) -> list[Event | Exception]:
        if isinstance(request.prompt, ChatPrompt) and not request.render_only:
            return [RequestRejected("context_length_exceeded", "too long")]
        return (
            [Accepted(id=1, prompt_tokens=7, truncated=True), *speak(request)[1:]]
            if not request.render_only
            else speak(request)
        )

    serving.engine.script = script
    base = {"model": MODEL, "prompt": "hi"}
    assert lines(await client.post("/api/generate", json=base))[-1]["prompt_truncated"] is True
    response = await client.post("/api/generate", json=base | {"truncate": False})
    assert (response.status_code, response.json()) == (400, {"error": "too long"})


async def test_render_only(client: httpx.AsyncClient) -> None:
    """The rendered template instead of an answer, in one document."""
    text = (await client.post("/api/generate", json={"model": MODEL, "prompt": "x", "_debug_render_only": True})).json()
    assert (
        text["_debug_info"] == {"rendered_template": "<rendered>"} and text["response"] == "" and text["done"] is False
    )
    chat = (await client.post("/api/chat", json=HI | {"_debug_render_only": True})).json()
    assert chat["message"]["content"] == "" and chat["_debug_info"]["rendered_template"] == "<rendered>"


BLIND = (
    " does not support vision: it is a language model and cannot see pictures; use a vision-language model (kind vlm), "
    "such as starter-vl"
)
INSTEAD = ": it is an embedding model, for /v1/embeddings or /api/embed"
REFUSALS: list[tuple[str, Any, int, str]] = [
    ("/api/chat", {}, 400, "model is required"),
    ("/api/chat", {"model": "none", "messages": [{"role": "user", "content": "x"}]}, 404, "model 'none' not found"),
    ("/api/chat", {"model": "none"}, 404, "model 'none' not found"),
    ("/api/chat", {"model": "a b", "messages": [{"role": "user"}]}, 400, "invalid model name"),
    (
        "/api/chat",
        {"model": "vectors", "messages": [{"role": "user"}]},
        400,
        '"vectors" does not support chat' + INSTEAD,
    ),
    ("/api/chat", HI | {"messages": [{"role": "user", "images": ["AA=="]}]}, 400, '"parrot"' + BLIND),
    ("/api/chat", HI | {"top_logprobs": 21}, 400, "top_logprobs must be between 0 and 20"),
    ("/api/chat", HI | {"keep_alive": "300"}, 400, 'time: missing unit in duration "300"'),
    ("/api/chat", HI | {"keep_alive": True}, 400, "Unsupported type: 'bool'"),
    ("/api/chat", HI | {"format": "xml"}, 400, 'invalid format: "xml"; expected "json" or a valid JSON Schema object'),
    (
        "/api/chat",
        HI | {"think": "extreme"},
        400,
        'invalid think value: "extreme" (must be "high", "medium", "low", "max", true, or false)',
    ),
    ("/api/chat", HI | {"options": {"num_ctx": "big"}}, 400, 'option "num_ctx" must be of type integer'),
    ("/api/chat", HI | {"options": {"temperature": True}}, 400, 'option "temperature" must be of type float32'),
    ("/api/chat", HI | {"options": {"use_mmap": 1}}, 400, 'option "use_mmap" must be of type boolean'),
    ("/api/chat", HI | {"options": {"stop": "x"}}, 400, 'option "stop" must be of type array'),
    ("/api/chat", HI | {"options": {"stop": [1]}}, 400, 'option "stop" must be of an array of strings'),
    ("/api/chat", HI | {"options": {"temperature": -1}}, 400, 'option "temperature" must be between 0 and 100'),
    ("/api/generate", {"prompt": "x"}, 404, "model '' not found"),
    ("/api/generate", {"model": "none", "prompt": "x"}, 404, "model 'none' not found"),
    ("/api/generate", {"model": "vectors", "prompt": "x"}, 400, '"vectors" does not support generate' + INSTEAD),
    (
        "/api/generate",
        {"model": "parrot", "prompt": "x", "suffix": "y"},
        400,
        "acme/parrot:latest does not support insert",
    ),
    (
        "/api/generate",
        {"model": "parrot", "prompt": "x", "raw": True, "system": "y"},
        400,
        "raw mode does not support template, system, or context",
    ),
    ("/api/generate", {"model": "parrot", "prompt": "x", "images": ["AA=="]}, 400, '"parrot"' + BLIND),
    ("/api/show", {}, 400, "model is required"),
    ("/api/show", {"name": "none"}, 404, "model 'none:latest' not found"),
    ("/api/show", {"model": "a b"}, 400, "invalid model name"),
    ("/api/copy", {"source": "none", "destination": "x"}, 404, 'model "none" not found'),
    ("/api/copy", {"source": "a b", "destination": "x"}, 400, 'source "a b" is invalid'),
    ("/api/copy", {"source": "parrot", "destination": "a b"}, 400, 'destination "a b" is invalid'),
    ("/api/delete", {"model": "none"}, 404, "model 'none' not found"),
    ("/api/delete", {"model": "a b"}, 400, 'name "a b" is invalid'),
    ("/api/pull", {"model": "/etc/passwd"}, 400, "invalid model name"),
    ("/api/pull", {"model": "../x"}, 400, "invalid model name"),
    ("/api/pull", {"model": "./x"}, 400, "invalid model name"),
    ("/api/pull", {"model": "~/x"}, 400, "invalid model name"),
]


@pytest.mark.parametrize(
    ("path", "body", "status", "text"), REFUSALS, ids=[f"{p}-{i}" for i, (p, *_) in enumerate(REFUSALS)]
)
async def test_refusals(
    serving: Serving, client: httpx.AsyncClient, path: str, body: Any, status: int, text: str
) -> None:
    """Ollama's own words, before anything is loaded or pulled."""
    response = await client.request("DELETE" if path == "/api/delete" else "POST", path, json=body)
    assert (response.status_code, response.json()) == (status, {"error": text})
    assert serving.engine.requests == [] and serving.residency.loaded == [] and serving.store.pulls == []


async def test_bodies(client: httpx.AsyncClient) -> None:
    """No body and a broken one are 400; a null one is an empty request."""
    missing = await client.post("/api/chat")
    assert (missing.status_code, missing.json()) == (400, {"error": "missing request body"})
    assert (await client.post("/api/chat", content=b"null")).json() == {"error": "model is required"}
    assert (await client.post("/api/chat", content=b"{")).status_code == 400
    wrong = await client.post("/api/chat", json={"model": "m", "messages": [{"role": "user", "content": 5}]})
    assert wrong.status_code == 400 and "messages[0].content" in wrong.json()["error"]
    text_arguments = [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]
    assert (await client.post("/api/chat", json={"model": "m", "messages": text_arguments})).status_code == 400


async def test_thinking_and_tools_need_a_model_that_can(serving: Serving, client: httpx.AsyncClient) -> None:
    """What the listings say decides, and no model is loaded for a refusal."""
    serving.store.add("acme/parrot", capabilities=("completion",))
    think = await client.post("/api/chat", json=HI | {"think": True})
    assert (think.status_code, think.json()) == (400, {"error": '"parrot" does not support thinking'})
    generate = await client.post("/api/generate", json={"model": "parrot", "prompt": "hi", "think": "high"})
    assert (generate.status_code, generate.json()) == (400, {"error": '"parrot" does not support thinking'})
    tools = await client.post("/api/chat", json=HI | {"tools": [{"type": "function", "function": {"name": "f"}}]})
    assert tools.json() == {"error": "acme/parrot:latest does not support tools"}
    assert serving.residency.loaded == []
    assert (await client.post("/api/chat", json=HI | {"think": False})).status_code == 200


async def test_tags_ps_show(serving: Serving, client: httpx.AsyncClient) -> None:
    """What clients need: digests of 64 hex, whole sizes, times that Python reads, a model_info; newest first."""
    tags = (await client.get("/api/tags")).json()["models"]
    assert [model["name"] for model in tags] == ["acme/parrot:latest", "acme/vectors:latest"]
    assert all(
        model["name"] == model["model"] and len(model["digest"]) == 64 and model["size"] == SIZE for model in tags
    )
    assert datetime.fromisoformat(tags[0]["modified_at"]).tzinfo and "expires_at" not in json.dumps(tags)
    assert tags[0]["details"]["parameter_size"] == "3.2B" and tags[0]["details"]["quantization_level"] == "int4"
    for keep_alive in (-1, None):
        await serving.residency.load(serving.store.find("parrot"), keep_alive=keep_alive)
    ps = (await client.get("/api/ps")).json()["models"]
    expiries = [datetime.fromisoformat(model["expires_at"]) for model in ps]
    assert expiries[0].year >= 2300 and 1700 < (expiries[1] - datetime.now(UTC)).total_seconds() < 1802
    assert ps[0]["size"] == 2_000_000 and ps[0]["size_vram"] == 0 and ps[0]["context_length"] == 4096
    shown = (await client.post("/api/show", json={"name": "parrot"})).json()
    assert (
        shown["model_info"]["general.architecture"] == "qwen3" and shown["model_info"]["qwen3.context_length"] == 4096
    )
    assert shown["parameters"] == "temperature                    0.6\ntop_k                          20"
    assert (shown["template"], shown["license"], shown["capabilities"]) == (
        "{{hello}}",
        "MIT",
        ["completion", "tools", "thinking"],
    )


async def test_copy_and_delete(serving: Serving, client: httpx.AsyncClient) -> None:
    """Exactly 200 with no body: clients compare. A model leaves memory with its last name."""
    copied = await client.post("/api/copy", json={"source": "parrot", "destination": "acme/other"})
    assert (copied.status_code, copied.content) == (200, b"") and "acme/other" in serving.store.models_by_name
    gone = await client.request("DELETE", "/api/delete", json={"name": "acme/other"})
    assert (gone.status_code, gone.content) == (200, b"") and "acme/other" not in serving.store.models_by_name
    assert serving.residency.unloaded == []
    assert (await client.request("DELETE", "/api/delete", json={"name": "parrot"})).status_code == 200
    assert serving.residency.unloaded == ["acme/parrot"]


async def test_pull(serving: Serving, client: httpx.AsyncClient) -> None:
    """Ollama's lines, from the manifest to success; without streaming only the last."""
    documents = lines(await client.post("/api/pull", json={"name": "starter", "insecure": True}))
    layer = {"status": "pulling aaaaaaaaaaaa", "digest": DIGEST, "total": 100_000, "completed": 100_000}
    steps = [{"status": text} for text in ("verifying sha256 digest", "writing manifest", "success")]
    assert documents == [{"status": "pulling manifest"}, layer, *steps]
    whole = await client.post("/api/pull", json={"model": "starter", "stream": False})
    assert whole.json() == {"status": "success"} and whole.headers["content-type"] == "application/json"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_pull_that_fails_at_once_has_a_status(client: httpx.AsyncClient, stream: bool) -> None:
    failed = await client.post("/api/pull", json={"model": "nothing", "stream": stream})
    assert failed.status_code == 400 and "/home" not in failed.text
    assert "pull a built-in: starter" in failed.json()["error"]


async def test_a_pull_that_fails_late_ends_in_an_error_line(client: httpx.AsyncClient) -> None:
    """And the body ends after it."""
    answer = await client.post("/api/pull", json={"model": "breaks"})
    assert answer.status_code == 200 and "error" in json.loads(answer.text.splitlines()[-1])


@pytest.mark.parametrize(
    ("asked", "pulled"),
    [
        ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
        ("qwen/qwen3:latest", "qwen/qwen3"),
        ("hf.co/Qwen/Qwen3@main", "Qwen/Qwen3@main"),
        ("https://huggingface.co/Qwen/Qwen3", "Qwen/Qwen3"),
        ("qwen3:0.6b", "qwen3:0.6b"),
    ],
)
async def test_what_is_pulled(serving: Serving, client: httpx.AsyncClient, asked: str, pulled: str) -> None:
    await client.post("/api/pull", json={"model": asked, "stream": False})
    assert serving.store.pulls == [pulled]


@pytest.mark.parametrize("source", ["/etc", "./x", "~/x", "../x", "a/b/c", "a\\b", "x@", "x@../y", "file:///etc"])
async def test_no_folder_is_pulled_over_tcp(serving: Serving, client: httpx.AsyncClient, source: str) -> None:
    answer = await client.post("/api/pull", json={"model": source})
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid model name"})
    assert serving.store.pulls == []
