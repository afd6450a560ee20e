"""Every kind of model everywhere: what the listings say it can do, it does; what it cannot is refused before anything
is loaded; and loading, limits, times, quantizing, metrics and the command know each kind."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.extent import LONG, only_long
from support.live_daemon import LiveDaemon, wait_until

from mlx_serve.store.store import Store

STARTERS = {"starter": "llm", "starter-vl": "vlm", "starter-embed": "embedding", "starter-rerank": "reranker"}
BUILTINS = Path(__file__).parents[2] / "store" / "builtins"
CAN = {
    "starter": ["completion", "tools", "thinking"],
    "starter-vl": ["completion", "vision"],
    "starter-embed": ["embedding"],
    "starter-rerank": ["rerank"],
}
HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": {"type": "object"}}}
ASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "/v1/chat/completions": ("completion", {"messages": HI, "max_tokens": 1}),
    "/v1/completions": ("completion", {"prompt": "a", "max_tokens": 1}),
    "/api/chat": ("completion", {"messages": HI, "options": {"num_predict": 1}, "stream": False}),
    "/api/generate": ("completion", {"prompt": "a", "options": {"num_predict": 1}, "stream": False}),
    "/v1/embeddings": ("embedding", {"input": "a"}),
    "/api/embed": ("embedding", {"input": "a"}),
    "/api/embeddings": ("embedding", {"prompt": "a"}),
    "/v1/rerank": ("rerank", {"query": "q", "documents": ["a"]}),
    "/rerank": ("rerank", {"query": "q", "documents": ["a"]}),
}
INSTEAD = {
    "llm": "/v1/chat/completions",
    "vlm": "/v1/chat/completions",
    "embedding": "/v1/embeddings",
    "reranker": "/v1/rerank",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each kind's built-in model, and a second one that differs in its licence."""
    directory = tmp_path_factory.mktemp("kinds") / "models"
    store = Store.open(directory)
    for name in STARTERS:
        store.pull(name)
        folder = tmp_path_factory.mktemp("second") / f"second-{name}"
        shutil.copytree(BUILTINS / name, folder)
        (folder / "LICENSE").write_text("MIT, again\n")
        store.pull(str(folder))
    return directory


@pytest.fixture(scope="module")
def daemon(models: Path) -> Iterator[LiveDaemon]:
    """Room for one model of each kind, all of them there from the start."""
    most = {f"cache_max_{kind}_models": 1 for kind in STARTERS.values()}
    with LiveDaemon(models, models_preload=",".join(STARTERS), **most) as running:
        yield running.ready()
        assert running.log("fail audit") == [] and running.log("fail preload") == []


def _loaded(daemon: LiveDaemon) -> set[str]:
    """Without their owner."""
    return {name.rpartition("/")[2] for name in daemon.runners()}


def _all_loaded(daemon: LiveDaemon) -> dict[str, int]:
    for name in STARTERS:
        assert daemon.command("load", name).returncode == 0
    return daemon.runners()


# what can it do


def test_every_listing_says_the_same(daemon: LiveDaemon) -> None:
    tags = {one["name"].partition(":")[0]: one["capabilities"] for one in daemon.get("/api/tags").json["models"]}
    cards = {one["id"]: one["capabilities"] for one in daemon.get("/v1/models").json["data"]}
    rows = {one["name"]: one for one in json.loads(daemon.command("list", "--json").stdout)["models"]}
    table = daemon.command("list").stdout.splitlines()
    for name, kind in STARTERS.items():
        assert tags[name] == cards[name] == rows[name]["capabilities"] == CAN[name]
        assert daemon.post("/api/show", model=name).json["capabilities"] == CAN[name]
        assert daemon.get(f"/v1/models/{name}").json["capabilities"] == CAN[name]
        shown = json.loads(daemon.command("show", name, "--json").stdout)["model"]
        assert (shown["kind"], shown["capabilities"]) == (kind, CAN[name]) and rows[name]["kind"] == kind
        printed = daemon.command("show", name).stdout
        assert all(f"\n    {capability}\n" in printed for capability in CAN[name])
        assert any(line.startswith(name) and f" {kind} " in line for line in table)


@pytest.mark.parametrize("path", ASKS)
def test_endpoints_and_listings_agree(daemon: LiveDaemon, path: str) -> None:
    """Who can is served; who cannot is told where it belongs, in the dialect's own shape, and nobody is put out."""
    capability, body = ASKS[path]
    before = _all_loaded(daemon)
    for name, kind in STARTERS.items():
        answer = daemon.post(path, model=name, **body)
        second = daemon.post(path, model=f"second-{name}", **body) if capability not in CAN[name] else answer
        assert answer.status == second.status == (200 if capability in CAN[name] else 400), (name, answer.body)
        if answer.status == 400:
            error = second.json["error"]
            said = error if path.startswith("/api") else error["message"]
            assert f'"second-{name}" does not support' in said and INSTEAD[kind] in said
            assert isinstance(error, str) or (error["param"], error["type"]) == ("model", "invalid_request_error")
    assert daemon.runners() == before


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/api/embed", "/api/embeddings"])
def test_loading_by_an_empty_request_needs_the_kind_too(daemon: LiveDaemon, path: str) -> None:
    """And so does unloading."""
    capability = ASKS[path][0]
    before = _all_loaded(daemon)
    for name in STARTERS:
        if capability in CAN[name]:
            assert daemon.post(path, model=name, stream=False).status == 200
        else:
            assert daemon.post(path, model=f"second-{name}").status == 400
            assert daemon.post(path, model=name, keep_alive=0).status == 400
    assert daemon.runners() == before


def test_tools_and_thinking_agree_with_the_listings(daemon: LiveDaemon) -> None:
    """Refused before the model is loaded, by the field's name."""
    before = _all_loaded(daemon)
    for name in ("starter", "starter-vl"):
        for field, value, capability in (("tools", [TOOL], "tools"), ("reasoning_effort", "low", "thinking")):
            able = capability in CAN[name]
            asked = name if able else f"second-{name}"
            answer = daemon.post("/v1/chat/completions", model=asked, messages=HI, max_tokens=1, **{field: value})
            assert answer.status == (200 if able else 400), answer.body
            assert able or answer.json["error"]["param"] == field
        for field, value, capability in (("tools", [TOOL], "tools"), ("think", True, "thinking")):
            able = capability in CAN[name]
            asked = name if able else f"second-{name}"
            options = {"num_predict": 1}
            answer = daemon.post("/api/chat", model=asked, messages=HI, options=options, stream=False, **{field: value})
            assert answer.status == (200 if able else 400), answer.body
    assert daemon.runners() == before


# loading, limits, times


@only_long
def test_preload_and_limits_know_each_kind(daemon: LiveDaemon) -> None:
    """A second model of a kind puts out the first of its kind, and no other."""
    wait_until(lambda: len(daemon.log("preload model")) == len(STARTERS), "every kind is preloaded")
    before = _all_loaded(daemon)
    for name in STARTERS:
        assert daemon.command("load", f"second-{name}").returncode == 0
        after = daemon.runners()
        assert set(before) - set(after) == {f"mlx-serve/{name}"} and set(after) - set(before) == {
            f"local/second-{name}"
        }
        assert daemon.command("unload", f"second-{name}").returncode == 0
        assert daemon.command("load", name).returncode == 0
        before = daemon.runners()


@pytest.mark.parametrize("name", STARTERS)
def test_keep_alive_load_ps_and_unload(daemon: LiveDaemon, name: str) -> None:
    path, (_, body) = next((path, ask) for path, ask in ASKS.items() if ask[0] in CAN[name] and path.startswith("/v1"))
    assert daemon.post(path, model=name, keep_alive=-1, **body).status == 200
    (row,) = [row for row in daemon.control("GET", "/ps")["models"] if row["name"] == name]
    assert (row["kind"], row["expires_at"]) == (STARTERS[name], None) and row["memory"] > 0
    printed = [line for line in daemon.command("ps").stdout.splitlines() if line.startswith(f"{name} ")]
    assert len(printed) == 1 and "forever" in printed[0]
    assert [one["model"] for one in daemon.get("/api/ps").json["models"]].count(f"{name}:latest") == 1
    assert daemon.post(path, model=name, keep_alive=0, **body).status == 200
    daemon.wait_for_rest()
    assert daemon.command("unload", name).returncode == 0 and name not in _loaded(daemon)
    assert daemon.command("load", name).returncode == 0 and name in _loaded(daemon)


def test_metrics_count_each_kind(daemon: LiveDaemon) -> None:
    _all_loaded(daemon)
    for name in STARTERS:
        path, (_, body) = next((path, ask) for path, ask in ASKS.items() if ask[0] in CAN[name])
        label = f'{{model="mlx-serve/{name}"}}'
        before = daemon.gauge(f"prompt_tokens_total{label}")
        assert daemon.post(path, model=name, **body).status == 200
        assert daemon.gauge(f"prompt_tokens_total{label}") > before
        assert daemon.gauge(f"model_memory_bytes{label}") > 0
        assert daemon.gauge(f'requests_total{{endpoint="{path}",model="mlx-serve/{name}",status="200"}}') > 0


@pytest.mark.parametrize("name", STARTERS if LONG else ["starter-embed"])
def test_a_quantized_copy_is_of_the_same_kind(daemon: LiveDaemon, name: str) -> None:
    done = daemon.command("quantize", name, "--bits", "8", "--group-size", "32")
    assert done.returncode == 0, done.stderr
    shown = json.loads(daemon.command("show", f"{name}-8bit", "--json").stdout)["model"]
    assert (shown["kind"], shown["capabilities"]) == (STARTERS[name], CAN[name])
    path, (_, body) = next((path, ask) for path, ask in ASKS.items() if ask[0] in CAN[name])
    assert daemon.post(path, model=f"{name}-8bit", **body).status == 200


# the command


def test_run_does_what_the_kind_does(daemon: LiveDaemon) -> None:
    """A language model answers, an embedding model gives the vector, a reranker says how it is used."""
    for name in ("starter", "starter-vl"):
        done = daemon.command("run", name, "What is 2 + 3?")
        assert done.returncode == 0 and done.stdout.strip(), done.stderr
    assert daemon.command("run", "starter-embed", "hello").stdout.endswith(" (256 numbers)\n")


def test_run_on_a_reranker_gives_a_command_that_works(daemon: LiveDaemon) -> None:
    done = daemon.command("run", "starter-rerank", "What's the daemon's port?")
    assert done.returncode == 1 and "starter-rerank is a reranker" in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("curl ")]
    words = shlex.split(line)
    assert words[1] == f"{daemon.url}/v1/rerank"
    body = json.loads(words[words.index("-d") + 1])
    assert body["query"] == "What's the daemon's port?"
    assert daemon.post("/v1/rerank", **body).status == 200
    if shutil.which("curl"):
        answer = subprocess.run(line, shell=True, capture_output=True, check=True, timeout=60).stdout
        assert len(json.loads(answer)["results"]) == len(body["documents"])
