"""Who may call what: Host, Origin, protected mode, keys and management, on every route and before any body is read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.serving import MODEL, Serving, daemon

from mlx_serve.handlers.guard import check as guard
from mlx_serve.handlers.guard import hosts
from mlx_serve.handlers.guard.keys import Keys
from mlx_serve.handlers.guard.throttle import Throttle

ELSEWHERE = {"x-forwarded-for": "203.0.113.9"}  # a proxy on this machine says who really calls


async def get(serving: Serving, path: str = "/v1/models", method: str = "GET", **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=serving.url, trust_env=False, verify=False) as client:
        return await client.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/models", "/api/tags", "/nope", "/v1/chat/completions"])
async def test_foreign_host(serving: Serving, path: str) -> None:
    """DNS rebinding: a name that is not ours is refused on every route, unknown ones too, in the path's dialect."""
    response = await get(serving, path, host="evil.example")
    assert response.status_code == 403
    error = response.json()["error"]
    assert "allowed_hosts" in (error if path.startswith("/api") else error["message"])


@pytest.mark.parametrize(
    ("host", "bound", "allowed"),
    [
        ("localhost", "127.0.0.1", True),
        ("LOCALHOST:8000", "127.0.0.1", True),
        ("127.0.0.1:1", "127.0.0.1", True),
        ("[::1]:8000", "::1", True),
        ("app.localhost", "127.0.0.1", True),
        ("printer.local", "0.0.0.0", True),
        ("192.168.1.5:8000", "0.0.0.0", True),
        ("192.168.1.5", "127.0.0.1", False),
        ("8.8.8.8", "0.0.0.0", False),
        ("9.9.9.9", "0.0.0.0", True),
        ("my.box", "0.0.0.0", True),
        ("evil.example", "0.0.0.0", False),
        ("localhost.evil.example", "127.0.0.1", False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("localhost:8000:9", "127.0.0.1", False),
        ("user@localhost", "127.0.0.1", False),
        ("", "127.0.0.1", False),
    ],
)
def test_hosts(host: str, bound: str, allowed: bool) -> None:
    """Names and addresses of this machine, and what is configured; 9.9.9.9 is where this connection came in."""
    assert hosts.host_allowed(host, bound, "9.9.9.9", ("My.Box",)) is allowed


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:3000", True),
        ("https://127.0.0.1", True),
        ("http://[::1]:5173", True),
        ("app://obsidian.md", True),
        ("vscode-webview://abc", True),
        ("https://ok.example", True),
        ("https://ports.example:81", True),
        ("https://ok.example:444", False),
        ("https://sub.ok.example", False),
        ("http://localhost.evil.example", False),
        ("http://localhost@evil.example", False),
        ("https://evil.example", False),
        ("null", False),
        ("", False),
        ("file:///etc", False),
    ],
)
def test_origins(origin: str, allowed: bool) -> None:
    assert hosts.origin_allowed(origin, ("localhost", "https://ok.example", "https://ports.example:*")) is allowed


async def test_pages(serving: Serving) -> None:
    """A foreign page is refused; one of this machine may read the answer and every error."""
    assert (await get(serving, origin="https://evil.example")).status_code == 403
    assert (await get(serving, origin="null")).status_code == 403
    assert (await get(serving, sec_fetch_site="cross-site", sec_fetch_mode="no-cors")).status_code == 403
    assert (await get(serving, sec_fetch_site="cross-site", sec_fetch_mode="navigate")).status_code == 200
    for path, status in (("/v1/models", 200), ("/v1/models/none", 404)):
        response = await get(serving, path, origin="http://localhost:3000")
        assert response.status_code == status and response.headers["vary"] == "Origin"
        assert response.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert "access-control-allow-credentials" not in response.headers
        exposed = set(response.headers["access-control-expose-headers"].split(", "))
        assert exposed == {"retry-after", "x-request-id", "request-id", "x-mlx-serve-notice"}


async def test_preflight(serving: Serving) -> None:
    """A browser's question is answered for allowed pages only, private networks included."""
    ask = {"access_control_request_method": "POST", "access_control_request_private_network": "true"}
    response = await get(serving, "/v1/chat/completions", "OPTIONS", origin="http://localhost:3000", **ask)
    assert response.status_code == 204 and response.headers["access-control-allow-private-network"] == "true"
    allowed = {name.lower() for name in response.headers["access-control-allow-headers"].split(", ")}
    assert {"authorization", "content-type", "x-api-key", "x-request-id", "anthropic-version"} <= allowed
    refused = await get(serving, "/v1/chat/completions", "OPTIONS", origin="https://evil.example", **ask)
    assert refused.status_code == 403 and "access-control-allow-origin" not in refused.headers


async def test_protected_mode(serving: Serving) -> None:
    """Without a key nobody but this machine gets in, and the refusal says how to change that."""
    for path in ("/", "/healthz", "/v1/models", "/nope"):
        response = await get(serving, path, **ELSEWHERE)
        assert response.status_code == 403 and response.json()["error"]["message"] == guard.PROTECTED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Via", "1.1 varnish"),
        ("Forwarded", "for=127.0.0.1"),
        ("Forwarded", ""),
        ("X-Forwarded-For", "127.0.0.1, ::1"),
        ("X-Forwarded-Host", "localhost"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Anything", "x"),
        ("X-Real-IP", "127.0.0.1"),
        ("CF-Connecting-IP", "203.0.113.9"),
        ("CF-Ray", "1"),
        ("CDN-Loop", "cloudflare"),
        ("True-Client-IP", "203.0.113.9"),
        ("X-Client-IP", "203.0.113.9"),
        ("X-Cluster-Client-IP", "203.0.113.9"),
        ("Fly-Client-IP", "203.0.113.9"),
        ("Fastly-Client-IP", "203.0.113.9"),
        ("Tailscale-User-Login", "me@example.com"),
    ],
)
async def test_any_proxys_mark_makes_a_remote_caller(serving: Serving, name: str, value: str) -> None:
    """Whatever the header says: who can reach the proxy is not known here."""
    async with httpx.AsyncClient(base_url=serving.url, trust_env=False, verify=False) as client:
        response = await client.get("/v1/models", headers={name: value})
    assert response.status_code == 403 and response.json()["error"]["code"] == "protected_mode"


async def test_usual_headers_of_programs_here_are_no_mark(serving: Serving) -> None:
    usual = {"x-stainless-lang": "python", "openai-beta": "x", "x-requested-with": "fetch", "x-title": "chat"}
    assert (await get(serving, **usual)).status_code == 200


async def test_keys_can_be_asked_for_on_this_machine_too(tmp_path: Path) -> None:
    """With require_keys always nothing but health answers without a key; with one, this machine may do everything."""
    async with daemon(tmp_path, api_keys=("k",), require_keys="always") as serving:
        for path, method in routes(serving):
            response = await get(serving, path, method)
            assert response.status_code == (200 if path == "/healthz" else 401), path
        for path in ("/v1/models", "/metrics", "/api/tags"):
            assert (await get(serving, path, x_api_key="k")).status_code == 200, path
        assert (await get(serving, "/api/pull", "POST", x_api_key="k")).json() == {"error": "missing request body"}
        assert (await get(serving, x_api_key="wrong")).status_code == 401
        assert (await get(serving, "/api/pull", "POST", x_api_key="k", **ELSEWHERE)).status_code == 403
    async with daemon(tmp_path, require_keys="always", protected=False) as serving:
        assert (await get(serving)).status_code == 401, "without any key nobody comes in"
    async with daemon(tmp_path, control=True, api_keys=("k",), require_keys="always") as serving:
        assert (await get(serving)).status_code == 200, "the control socket asks for none"


async def test_wrong_keys_are_answered_late_and_right_ones_at_once(tmp_path: Path) -> None:
    """Each wrong key waits twice as long as the one before; a right one from the same address does not wait."""
    asked: list[float] = []
    go = asyncio.Event()

    async def sleep(seconds: float) -> None:
        asked.append(seconds)
        await go.wait()

    async with daemon(tmp_path, api_keys=("k",)) as serving:
        serving.app.ctx.throttle = Throttle(sleep=sleep)
        late = [asyncio.create_task(get(serving, x_api_key=f"w{n}", **ELSEWHERE)) for n in range(3)]
        while len(asked) < 3:
            await asyncio.sleep(0)
        assert asked == [0.1, 0.2, 0.4] and not any(task.done() for task in late)
        assert (await get(serving, x_api_key="k", **ELSEWHERE)).status_code == 200
        assert (await get(serving, **ELSEWHERE)).status_code == 401, "who sends no key guesses nothing"
        assert len(asked) == 3
        go.set()
        assert [task.status_code for task in await asyncio.gather(*late)] == [401, 401, 401]


def routes(serving: Serving) -> list[tuple[str, str]]:
    return [
        ("/" + route.path.replace("<model_id:path>", "x"), method)
        for route in serving.app.router.routes
        for method in route.methods
    ]


async def test_every_route_needs_the_key(tmp_path: Path) -> None:
    """Whatever is registered answers 401 from elsewhere, health excepted: a new route cannot forget."""
    async with daemon(tmp_path, api_keys=("one", "two")) as serving:
        for path, method in routes(serving):
            response = await get(serving, path, method, **ELSEWHERE)
            assert response.status_code == (200 if path == "/healthz" else 401), path
            if path != "/healthz":
                assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": "Bearer two"}, 200),
        ({"authorization": "bearer one"}, 200),
        ({"x-api-key": "one"}, 200),
        ({"authorization": "Bearer three"}, 401),
        ({"authorization": "one"}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"x-api-key": "\u00f6ne"}, 401),
        ({}, 401),
    ],
)
async def test_keys(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    """Either header, any of the keys; a wrong, empty or odd one is refused in OpenAI's words."""
    async with daemon(tmp_path, api_keys=("one", "two", "")) as serving:
        async with httpx.AsyncClient(base_url=serving.url, trust_env=False, verify=False) as client:
            response = await client.get("/v1/models", headers={k: v.encode() for k, v in (headers | ELSEWHERE).items()})
        assert response.status_code == status
        assert status == 200 or response.json()["error"]["code"] == "invalid_api_key"
        assert (await get(serving)).status_code == 200, "this machine needs no key"


def test_every_key_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """No early exit: as many comparisons when the first key fits as when none does, and on digests."""
    compared: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: compared.append((a, b)) or a == b)
    keys = Keys(("a", "b", "c"))
    assert keys.accept(["a"]) and not keys.accept(["x"]) and len(compared) == 6
    assert all(len(a) == len(b) == 32 for a, b in compared)


async def test_management_from_elsewhere(tmp_path: Path) -> None:
    """A key lets others infer and list, not pull, copy, delete or create, unless remote_management says so."""
    calls = [("POST", "/api/pull"), ("POST", "/api/copy"), ("DELETE", "/api/delete"), ("POST", "/api/blobs/sha256:0")]
    async with daemon(tmp_path, api_keys=("k",)) as serving:
        for method, path in calls:
            response = await get(serving, path, method, x_api_key="k", **ELSEWHERE)
            assert response.status_code == 403 and response.json()["error"] == guard.UNMANAGED
        assert (await get(serving, "/api/tags", x_api_key="k", **ELSEWHERE)).status_code == 200
        assert (await get(serving, "/metrics", x_api_key="k", **ELSEWHERE)).status_code == 200
    async with daemon(tmp_path, api_keys=("k",), remote_management=True) as serving:
        assert (await get(serving, "/api/pull", "POST", x_api_key="k", **ELSEWHERE)).json() == {
            "error": "missing request body"
        }
    async with daemon(tmp_path, protected=False) as serving:
        assert (await get(serving, "/v1/models", **ELSEWHERE)).status_code == 200
        assert (await get(serving, "/api/pull", "POST", **ELSEWHERE)).status_code == 403
        assert (await get(serving, "/metrics", **ELSEWHERE)).status_code == 403


async def test_the_guard_stands_before_the_body(serving: Serving) -> None:
    """A refused caller's body is not decoded, whatever it is."""
    async with httpx.AsyncClient(base_url=serving.url, trust_env=False, verify=False) as client:
        response = await client.post("/api/chat", content=b"{" * 300_000, headers=ELSEWHERE)
        assert response.status_code == 403


async def test_the_control_socket_has_no_guard(tmp_path: Path) -> None:
    """The app of the Unix socket takes any Host, and folders to pull from."""
    async with daemon(tmp_path, control=True) as serving:
        assert (await get(serving, host="mlx-serve")).status_code == 200
        async with httpx.AsyncClient(base_url=serving.url, trust_env=False, verify=False) as client:
            await client.post("/api/pull", json={"model": "/some/folder", "stream": False})
        assert serving.store.pulls == ["/some/folder"]


async def test_large_and_encoded_bodies(tmp_path: Path) -> None:
    """413 in the path's dialect, and 415 for a body that is packed."""
    async with (
        daemon(tmp_path, max_body_mb=1) as serving,
        httpx.AsyncClient(base_url=serving.url, trust_env=False, verify=False) as client,
    ):
        large: dict[str, Any] = {"model": MODEL, "prompt": "x" * (2 << 20)}
        openai, ollama = (
            await client.post("/v1/completions", json=large),
            await client.post("/api/generate", json=large),
        )
        assert (openai.status_code, openai.json()["error"]["code"]) == (413, "body_too_large")
        assert ollama.status_code == 413 and "max_body_mb" in ollama.json()["error"]
        packed = await client.post("/api/chat", content=b"x", headers={"content-encoding": "gzip"})
        assert packed.status_code == 415
