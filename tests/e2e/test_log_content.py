"""What the log of a real daemon says of requests: who, what, how long; and never a prompt, an answer or a key."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.live_daemon import LiveDaemon
from support.waiting import wait_until

from mlx_serve.control.socket import log_path

KEY = "sk-a-key-that-nobody-may-see"
TOKEN = "hf_a_token_that_nobody_may_see"
PROMPT = "xyzzyplugh"
PICTURE = "data:image/png;base64,c2VjcmV0cGljdHVyZQ=="
SECRETS = (KEY, TOKEN, PROMPT, "c2VjcmV0cGljdHVyZQ", "secretpicture")
MESSAGES = [{"role": "system", "content": PROMPT}, {"role": "user", "content": f"{PROMPT} say H"}]
SEEN = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE}}]}]
ASKED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/v1/chat/completions", {"messages": MESSAGES}),
    ("/v1/chat/completions", {"messages": MESSAGES, "stream": True}),
    ("/v1/chat/completions", {"messages": SEEN}),
    ("/v1/chat/completions", {"messages": MESSAGES, "temperature": PROMPT}),
    ("/v1/chat/completions", {"messages": MESSAGES, "response_format": {"type": "json_schema", "json_schema": PROMPT}}),
    ("/v1/chat/completions", {"messages": MESSAGES, "tools": [{"type": "function", "function": {"name": PROMPT}}]}),
    ("/v1/completions", {"prompt": PROMPT, "max_tokens": 3, "stop": [PROMPT]}),
    ("/v1/completions", {"prompt": PROMPT, "structured_outputs": {"regex": f"({PROMPT}"}}),
    ("/v1/completions", {"prompt": PROMPT * 40_000}),
    ("/api/chat", {"messages": MESSAGES, "stream": False}),
    ("/api/generate", {"prompt": PROMPT, "options": {"num_predict": 3}}),
    ("/api/generate", {"prompt": PROMPT, "template": "{{ " + PROMPT}),
    ("/api/create", {"from": "scripted", "system": PROMPT, "template": "{% " + PROMPT}),
    ("/v1/embeddings", {"input": PROMPT}),
    ("/v1/rerank", {"query": PROMPT, "documents": [PROMPT]}),
    ("/v1/tokenize", {"input": PROMPT}),
    ("/v1/tokenize", {"messages": MESSAGES}),
)


@pytest.fixture(scope="module")
def daemon(models: Path) -> Iterator[LiveDaemon]:
    settings = {"server_api_keys": KEY, "server_require_keys": "always", "log_level": "debug"}
    with LiveDaemon(models, environ={"HF_TOKEN": TOKEN}, **settings) as running:
        yield running.ready()


def ask(daemon: LiveDaemon, path: str, body: Any, **headers: str) -> tuple[int, dict[str, str]]:
    connection = daemon.connect()
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", path, content, {"X-API-Key": KEY} | headers)
    answer = connection.getresponse()
    answer.read()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}
    connection.close()
    return found


def lines(daemon: LiveDaemon) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_path(daemon.home, daemon.port).read_text().splitlines()]


def access(daemon: LiveDaemon, number: str) -> dict[str, Any]:
    """The line of this request, once it is written."""

    def found() -> dict[str, Any] | None:
        return next((line for line in lines(daemon) if line.get("id") == number and "method" in line), None)

    return wait_until(found, "the request's line in the log") or {}


def test_an_answer_is_one_line_with_its_numbers(daemon: LiveDaemon) -> None:
    status, headers = ask(
        daemon, *("/api/chat", {"model": "scripted", "messages": MESSAGES}), **{"X-Request-ID": "mine"}
    )
    assert (status, headers["x-request-id"]) == (200, "mine")
    line = access(daemon, "mine")
    assert (line["message"], line["method"], line["path"], line["status"]) == (
        "answer request",
        "POST",
        "/api/chat",
        200,
    )
    assert line["model"] == "local/scripted" and line["prompt_tokens"] > 10 and line["tokens"] > 1
    assert 0 <= line["queue_seconds"] <= line["first_token_seconds"] <= line["seconds"]
    assert line["client"].startswith("127.0.0.1:")


def test_an_unknown_model_and_a_wrong_key_have_a_line_too(daemon: LiveDaemon) -> None:
    """The id is in the answer; a name that the client made up is not in the log."""
    status, headers = ask(daemon, "/v1/chat/completions", {"model": PROMPT, "messages": MESSAGES})
    line = access(daemon, headers["x-request-id"])
    assert (status, line["status"], "model" in line) == (404, 404, False)
    status, headers = ask(daemon, "/v1/chat/completions", {}, **{"X-API-Key": "wrong" + KEY})
    assert (status, access(daemon, headers["x-request-id"])["status"]) == (401, 401)


def test_no_prompt_and_no_secret_is_ever_written(daemon: LiveDaemon) -> None:
    """At the level of debugging, for every endpoint, in good requests, bad ones and ones that the engine refuses; with
    the keys in headers, in the address and in a body; and with a picture."""
    for path, body in ASKED:
        ask(daemon, path, body | {"model": "scripted"}, Authorization=f"Bearer {KEY}")
        ask(daemon, path, body | {"model": PROMPT})
    ask(daemon, "/v1/chat/completions", b'{"model": "scripted", "messages": [' + PROMPT.encode())
    ask(daemon, f"/v1/models/{PROMPT}", b"")
    query = urllib.parse.urlencode({"key": KEY, "prompt": PROMPT})
    _, headers = ask(daemon, f"/v1/completions?{query}", {"model": "scripted", "prompt": PROMPT, "max_tokens": 2})
    daemon.command("config")
    daemon.command("pull", "owner/name", HF_TOKEN=TOKEN, HF_ENDPOINT="http://127.0.0.1:9")
    access(daemon, headers["x-request-id"])
    written = [log_path(daemon.home, daemon.port), daemon._complaints]
    text = "".join(path.read_text() for path in written)
    assert len(text.splitlines()) > 2 * len(ASKED)
    left = [line for line in text.splitlines() if any(secret in line for secret in SECRETS)]
    assert left, "the address of a request is written as it came, so this test can see what it looks for"
    assert [line for line in left if f'"path": "/v1/models/{PROMPT}"' not in line] == []
