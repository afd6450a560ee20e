"""Settings of one model in the real daemon: seen, taken over while it runs, and felt by requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.live_daemon import LiveDaemon

SETTINGS = """\
models:
  settings:
    starter:
      pin: true
      context_length: 64
      system: You are brief.
      max_tokens: 2
    strter: {temperature: 1}
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    home = tmp_path_factory.mktemp("home") / "h"
    home.mkdir()
    (home / "config.yaml").write_text("models: {settings: {starter: {keep_alive: 1h, temperature: 0.5}}}\n")
    with LiveDaemon(None, home=home, engine_context_length="128") as running:
        running.ready()
        assert running.command("pull", "starter").returncode == 0
        yield running


def settings(daemon: LiveDaemon) -> dict[str, tuple[Any, str]]:
    found = daemon.control("GET", "/models/starter")["settings"]
    return {row["name"]: (row["value"], row["origin"]) for row in found}


def post(daemon: LiveDaemon, path: str, **body: Any) -> dict[str, Any]:
    connection = daemon.connect()
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return dict(answer)


def test_show_says_what_holds_and_where_it_comes_from(daemon: LiveDaemon) -> None:
    found = settings(daemon)
    assert found["temperature"] == (0.5, "config.yaml:1") and found["keep_alive"] == (3600, "config.yaml:1")
    assert found["context_length"] == (128, "engine.context_length, MLX_SERVE_ENGINE_CONTEXT_LENGTH")
    assert found["pin"] == (False, "default")
    printed = daemon.command("show", "starter").stdout
    assert "    keep alive" in printed and "1h0m0s" in printed and "config.yaml:1" in printed


def test_a_reload_is_felt_at_once(daemon: LiveDaemon) -> None:
    """What is set for one model, and said of a name that no model has; a longer context is said to wait for the next
    load, and is there after it."""
    loaded = post(daemon, "/api/generate", model="starter")
    assert loaded["done_reason"] == "load"
    (daemon.home / "config.yaml").write_text(SETTINGS)
    done = daemon.command("config", "--reload")
    assert done.returncode == 0 and done.stdout.startswith("changed: models.settings.starter.context_length, ")
    assert "models.settings.strter has no effect: model 'strter' not found; did you mean starter?" in done.stderr
    assert "from their next load on" not in done.stderr, "a shorter one holds at once"
    assert "strter" in daemon.command("config").stderr
    chat = {"model": "starter", "messages": [{"role": "user", "content": "What does mlx-serve ps show?"}]}
    answer = post(daemon, "/v1/chat/completions", **chat)
    assert answer["usage"]["completion_tokens"] == 2 and answer["choices"][0]["finish_reason"] == "length"
    rendered = post(daemon, "/api/chat", **chat, stream=False, debug_render_only=True, _debug_render_only=True)
    assert "You are brief." in json.dumps(rendered)
    refused = post(daemon, "/v1/chat/completions", model="starter", messages=[{"role": "user", "content": "a " * 90}])
    assert refused["error"]["code"] == "context_length_exceeded" and "64 tokens" in refused["error"]["message"]
    (row,) = daemon.control("GET", "/ps")["models"]
    assert (row["pinned"], row["context_length"], row["expires_at"]) == (True, 64, None)
    (daemon.home / "config.yaml").write_text(SETTINGS.replace("context_length: 64", "context_length: 256"))
    told = daemon.command("config", "--reload").stderr
    assert "another context from their next load on (mlx-serve unload, mlx-serve load): starter\n" in told
    assert daemon.control("GET", "/ps")["models"][0]["context_length"] == 128
    daemon.control("POST", "/unload", {"name": "starter"})
    daemon.control("POST", "/load", {"name": "starter"})
    assert daemon.control("GET", "/ps")["models"][0]["context_length"] == 256
