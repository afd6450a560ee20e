"""Probes, the models of /v1, and errors of routing in the dialect of the path."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fakes.serving import MODEL, Serving
from prometheus_client.parser import text_string_to_metric_families
from support.waiting import until

from mlx_serve.daemon.residency.backoff import Quarantine


async def test_root_and_heads(client: httpx.AsyncClient) -> None:
    """Ollama's clients look for its words, and ask with HEAD."""
    root = await client.get("/")
    assert root.text == "Ollama is running" and root.headers["content-type"] == "text/plain; charset=utf-8"
    for path in ("/", "/api/version", "/api/tags", "/healthz", "/readyz", "/v1/models"):
        head = await client.head(path)
        assert (head.status_code, head.content) == (200, b"")


async def test_readiness_follows_the_drain(serving: Serving, client: httpx.AsyncClient) -> None:
    """While draining the process lives and is not ready; new work gets 503 with a time to come back."""
    assert (await client.get("/readyz")).status_code == 200
    serving.context.draining = True
    assert (await client.get("/readyz")).status_code == 503 and (await client.get("/healthz")).status_code == 200
    work = await client.post("/api/chat", json={"model": MODEL, "messages": [{"role": "user"}]})
    assert work.status_code == 503 and "retry-after" in work.headers and "shutting down" in work.json()["error"]


async def test_a_model_in_quarantine_is_a_degraded_daemon(serving: Serving, client: httpx.AsyncClient) -> None:
    """Still 200, for the others are served; which model, why, and until when."""
    serving.residency.quarantine.append(Quarantine(MODEL, "a" * 64, "its process ended", 3, 1e9))
    answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "degraded",
        "quarantined": [{"model": MODEL, "reason": "its process ended", "until": 1e9}],
    }
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert "mlx_serve_models_quarantined 1.0" in (await client.get("/metrics")).text
    serving.residency.quarantine.clear()
    assert (await client.get("/readyz")).json() == {"status": "ready"}


async def test_the_audit_runs_when_no_request_is_open(serving: Serving, client: httpx.AsyncClient) -> None:
    """Not while another one is: two at once are one audit, and a failed request ends like others."""
    serving.engine.hold = asyncio.Event()
    held = asyncio.ensure_future(client.post("/api/generate", json={"model": "parrot", "prompt": "x"}))
    await serving.engine.opened.get()
    await client.get("/v1/models/none")
    assert (serving.residency.audits, serving.context.open_requests) == (0, 1)
    serving.engine.hold.set()
    await held
    await until(lambda: serving.residency.audits == 1)
    await client.get("/v1/models/none")
    await until(lambda: serving.residency.audits == 2)
    assert serving.context.open_requests == 0


async def test_metrics(client: httpx.AsyncClient) -> None:
    """Requests by endpoint and status, tokens and first tokens by model; paths of clients are no labels."""
    await client.post("/api/generate", json={"model": "parrot", "prompt": "x"})
    await client.post("/api/generate", json={"model": "none", "prompt": "x"})
    await client.get("/v1/models/none")
    text = (await client.get("/metrics")).text
    assert 'mlx_serve_requests_total{endpoint="/api/generate",model="acme/parrot",status="200"} 1.0' in text
    assert (
        'endpoint="/api/generate",model="",status="404"' in text
        and 'endpoint="/v1/models/{id}",model="",status="404"' in text
    )
    assert 'mlx_serve_completion_tokens_total{model="acme/parrot"} 4.0' in text
    assert 'mlx_serve_time_to_first_token_seconds_count{model="acme/parrot"} 1.0' in text
    assert "none" not in text


async def test_a_deleted_model_has_no_metrics(serving: Serving, client: httpx.AsyncClient) -> None:
    """Its series go with the next scrape; those of the requests that had to do with no model stay."""
    await client.post("/api/generate", json={"model": "parrot", "prompt": "x"})
    await client.post("/v1/tokenize", json={"model": "parrot", "input": "x"})
    text = (await client.get("/metrics")).text
    assert 'mlx_serve_requests_total{endpoint="/v1/tokenize",model="acme/parrot",status="200"} 1.0' in text
    assert (await client.request("DELETE", "/api/delete", json={"model": "parrot"})).status_code == 200
    families = list(text_string_to_metric_families((await client.get("/metrics")).text))
    models = {one.labels["model"] for family in families for one in family.samples if "model" in one.labels}
    assert models == {""}


async def test_models(client: httpx.AsyncClient) -> None:
    """The list newest first; one model by its id, slash plain or encoded, echoed as it was asked for."""
    listing = (await client.get("/v1/models")).json()
    assert listing["object"] == "list" and [m["id"] for m in listing["data"]] == [MODEL, "acme/vectors"]
    can = ["completion", "tools", "thinking"]
    wanted = {"id": MODEL, "object": "model", "created": 0, "owned_by": "acme", "capabilities": can}
    wanted["context_length"] = 4096
    assert listing["data"][0] | {"created": 0} == wanted
    for asked in ("acme/parrot", "acme%2Fparrot", "parrot", "acme/parrot:latest"):
        model = (await client.get(f"/v1/models/{asked}")).json()
        assert model["id"] == asked.replace("%2F", "/") and model["owned_by"] == "acme"


@pytest.mark.parametrize("asked", ["none", "%00", "..%2f..%2fetc%2fpasswd", "%ff", "a%252Fb", "x" * 300])
async def test_models_that_are_none(client: httpx.AsyncClient, asked: str) -> None:
    response = await client.get(f"/v1/models/{asked}")
    assert response.status_code in (400, 404) and response.json()["error"]["param"] == "model"


ROUTING: list[tuple[str, str, int, Any]] = [
    ("POST", "/v1/audio/speech", 404, {"message", "type", "param", "code"}),
    ("POST", "/v1/images/generations", 404, {"message", "type", "param", "code"}),
    ("GET", "/v1/chat/completions", 405, {"message", "type", "param", "code"}),
    ("POST", "/v1/messages/batches", 404, {"type", "message"}),
    ("GET", "/v1/messages", 405, {"type", "message"}),
    ("POST", "/api/experimental/web_search", 404, None),
    ("GET", "/api/chat", 405, None),
    ("POST", "/debug/pprof/", 404, {"message", "type", "param", "code"}),
    ("PUT", "/", 405, {"message", "type", "param", "code"}),
]


@pytest.mark.parametrize(("method", "path", "status", "keys"), ROUTING, ids=[f"{m} {p}" for m, p, *_ in ROUTING])
async def test_routing(client: httpx.AsyncClient, method: str, path: str, status: int, keys: Any) -> None:
    """No endpoint and a wrong method are JSON in the dialect of the path, browsers or not; 405 says what is allowed."""
    response = await client.request(method, path, headers={"accept": "text/html"})
    assert response.status_code == status and response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert isinstance(error, str) if keys is None else set(error) == keys
    assert (response.headers.get("allow") is not None) == (status == 405)


async def test_version(serving: Serving, client: httpx.AsyncClient) -> None:
    """Ollama's, in three whole numbers, as Open WebUI reads it, and new enough for Codex; our own beside it."""
    told = (await client.get("/api/version")).json()
    assert tuple(map(int, told["version"].split("."))) >= (0, 13, 4) and told["version"].count(".") == 2
    assert told["mlx_serve"] == serving.context.version


async def test_the_daemon_can_be_told_from_another_program(serving: Serving, client: httpx.AsyncClient) -> None:
    """By a name that only this run has, which its status tells on the control socket."""
    assert (await client.get("/healthz")).headers["X-Mlx-Serve-Instance"] == serving.context.instance
    assert len(serving.context.instance) == 16


async def test_what_models_hold_is_measured_before_it_is_shown(serving: Serving, client: httpx.AsyncClient) -> None:
    """A figure of the last request may be an hour old."""
    for count, path in enumerate(("/metrics", "/api/ps"), start=1):
        assert (await client.get(path)).status_code == 200
        assert serving.residency.measured == count


async def test_what_no_handler_has_seen_is_counted_too(serving: Serving, client: httpx.AsyncClient) -> None:
    """By its endpoint where it has one: what the guard refuses, what there is not, another method, what is no HTTP;
    each once, and nobody's path becomes a label."""
    await client.post("/v1/chat/completions", json={}, headers={"host": "evil.example"})
    await client.get("/v1/models/some-name", headers={"host": "evil.example"})
    await client.get("/no/such/path")
    await client.put("/api/chat")
    await client.post("/v1/chat/completions", content=b"{")
    await client.post("/v1/embeddings", headers={"content-encoding": "gzip"}, content=b"x")
    counted = {
        (one.labels["endpoint"], one.labels["status"]): one.value
        for family in text_string_to_metric_families(serving.scrape().decode())
        for one in family.samples
        if one.name == "mlx_serve_requests_total"
    }
    assert counted == {
        ("/v1/chat/completions", "403"): 1,
        ("/v1/models/{id}", "403"): 1,
        ("other", "404"): 1,
        ("other", "405"): 1,
        ("/v1/chat/completions", "400"): 1,
        ("other", "415"): 1,
    }
