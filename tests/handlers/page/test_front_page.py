"""GET / for browsers, its files and its figures, as HTTP: who gets what, and under which policy."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.serving import MODEL, Serving, daemon
from support.waiting import until

from mlx_serve.daemon.memory_pressure import Level
from mlx_serve.daemon.residency.backoff import Quarantine
from mlx_serve.daemon.tasks.pulls import PullOrder
from mlx_serve.daemon.tasks.quantizing import QuantizeOrder
from mlx_serve.handlers.page import live_status
from mlx_serve.handlers.page.browser import wants_html
from mlx_serve.handlers.page.page_files import MEDIA_TYPES

ASSETS = Path(live_status.__file__).parent / "assets"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
ELSEWHERE = {"x-forwarded-for": "203.0.113.9"}


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("TEXT/HTML ; q=0.4, */*", True),
        ("text/html;level=1;q=1", True),
        ("", False),
        ("*/*", False),
        ("text/*", False),
        ("application/json, text/plain, */*", False),
        ("text/plain, text/html;q=0.5", False),
        ("text/html;q=0", False),
        ("text/html;q=nonsense", False),
        ("text/html;q=inf", False),
    ],
)
def test_who_names_html_wants_it(accept: str, wanted: bool) -> None:
    """curl, Ollama's clients and health checks send nothing or `*/*`."""
    assert wants_html(accept) is wanted


async def test_browsers_get_the_page_and_everyone_else_ollamas_words(client: httpx.AsyncClient) -> None:
    for accept in ("*/*", "application/json", "text/plain", ""):
        answer = await client.get("/", headers={"accept": accept})
        assert (answer.text, answer.headers["content-type"]) == ("Ollama is running", "text/plain; charset=utf-8")
        assert answer.headers["vary"] == "Accept, Origin"
    page = await client.get("/", headers={"accept": BROWSER})
    assert page.text.startswith("<!doctype html>") and page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["vary"] == "Accept, Origin"
    head = await client.head("/", headers={"accept": BROWSER})
    assert (head.status_code, head.content, head.headers["content-type"]) == (200, b"", page.headers["content-type"])


async def test_the_policy_lets_nothing_in_but_the_pages_own_files(client: httpx.AsyncClient) -> None:
    for path in ("/", *(f"/page/{name}" for name in MEDIA_TYPES)):
        answer = await client.get(path, headers={"accept": BROWSER})
        assert answer.status_code == 200 and answer.headers["x-content-type-options"] == "nosniff"
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        for directive in ("default-src", "base-uri", "form-action", "frame-ancestors", "trusted-types"):
            assert policy[directive] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
    text = (await client.get("/", headers={"accept": BROWSER})).text
    assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:", text)
    assert re.findall(r"<script[^>]*>([^<]*)</script>", text) == [""]
    assert all(not re.match(r"\w*:|/", link) for link in re.findall(r'\b(?:href|src)="([^"]*)"', text))


async def test_every_file_is_served_and_nothing_else(client: httpx.AsyncClient) -> None:
    """With its media type; what is written in the address is a name, never a path."""
    assert {path.name for path in ASSETS.iterdir()} == {*MEDIA_TYPES, "index.html"}
    for name, media in MEDIA_TYPES.items():
        answer = await client.get(f"/page/{name}")
        assert answer.content == (ASSETS / name).read_bytes() and answer.headers["content-type"] == media
        assert "innerHTML" not in answer.text and "://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
    for name in ("index.html", "nothing.js", "..%2Flive_status.py", "%2Fetc%2Fpasswd", "main.js%00", "__init__.py"):
        assert (await client.get(f"/page/{name}")).status_code == 404
    assert (await client.post("/page/main.js")).status_code == 405


async def test_the_page_comes_without_a_key_and_what_it_shows_does_not(tmp_path: Path) -> None:
    """A browser cannot send one before it has the page; from elsewhere, or from everywhere where that is asked."""
    for settings, headers in (({}, ELSEWHERE), ({"require_keys": "always"}, {})):
        async with (
            daemon(tmp_path, api_keys=("a-key-of-some-length",), **settings) as serving,
            httpx.AsyncClient(base_url=serving.url, trust_env=False, headers=headers) as client,
        ):
            for path in ("/", "/docs", "/page/main.js"):
                assert (await client.get(path, headers={"accept": BROWSER})).status_code == 200
            for path in ("/", "/docs", "/page/status", "/page/nothing.js", "/openapi.json", "/v1/models"):
                assert (await client.get(path)).status_code == 401, path
            for path in ("/page/status", "/openapi.json", "/v1/models", "/metrics"):
                assert (await client.get(path, headers={"accept": BROWSER})).status_code == 401, path
            keyed = {"authorization": "Bearer a-key-of-some-length"}
            assert (await client.get("/page/status", headers=keyed)).status_code == 200


async def test_without_any_key_the_page_stays_on_this_machine(serving: Serving) -> None:
    async with httpx.AsyncClient(base_url=serving.url, trust_env=False, headers=ELSEWHERE) as client:
        for path in ("/", "/docs", "/page/main.js", "/page/status"):
            answer = await client.get(path, headers={"accept": BROWSER})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "protected_mode")


async def test_no_other_name_and_no_other_site_gets_it(client: httpx.AsyncClient) -> None:
    for path in ("/", "/page/main.js"):
        assert (await client.get(path, headers={"accept": BROWSER, "host": "evil.example"})).status_code == 403
        foreign = {"accept": BROWSER, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
        assert (await client.get(path, headers=foreign)).status_code == 403


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("192.168.1.5:8000", "http://192.168.1.5:8000", 404),
        ("box.local", "https://box.local", 404),
        ("192.168.1.5:8000", "http://192.168.1.5:3000", 403),
        ("192.168.1.5:8000", "http://192.168.1.5", 403),
        ("192.168.1.5:8000", "http://192.168.1.6:8000", 403),
        ("evil.example", "http://evil.example", 403),
        ("192.168.1.5:8000", "app://192.168.1.5:8000", 404),  # a desktop application's, as before
        ("192.168.1.5:8000", "ftp://192.168.1.5:8000", 403),
        ("192.168.1.5:8000", "null", 403),
    ],
)
async def test_the_page_may_ask_under_whatever_name_it_was_reached(
    tmp_path: Path, host: str, origin: str, status: int
) -> None:
    """Its own origin is its own Host, which is checked; another port is another program."""
    async with (
        daemon(tmp_path, host="0.0.0.0") as serving,
        httpx.AsyncClient(base_url=serving.url, trust_env=False) as client,
    ):
        body = {"model": "none", "messages": [{"role": "user", "content": "x"}]}
        answer = await client.post("/v1/chat/completions", json=body, headers={"host": host, "origin": origin})
        assert answer.status_code == status, answer.text


async def test_the_figures(serving: Serving, client: httpx.AsyncClient) -> None:
    """What is loaded, installed, pulled and held back; nothing of clients, and no path."""
    await serving.residency.load(serving.store.find(MODEL))
    serving.residency.quarantine.append(Quarantine("acme/broken", "a" * 64, "its process ended", 3, 1e9))
    held: Level = "warning"
    serving.residency.pressure = held
    found = (await client.get("/page/status")).json()
    assert found["version"] == serving.context.version and found["time"] >= found["started"]
    assert found["queue"] == {"running": 0, "waiting": 0, "limit": 256}
    assert (found["memory"], found["memory_limit"], found["memory_pressure"]) == (2_000_000, 8_000_000, "warning")
    (loaded,) = found["loaded"]
    assert (loaded["name"], loaded["kind"], loaded["memory"], loaded["share"]) == (MODEL, "llm", 2_000_000, 3_000_000)
    assert {one["id"]: one["kind"] for one in found["installed"]} == {MODEL: "llm", "acme/vectors": "embedding"}
    assert found["installed"][0]["quantization"] == "4-bit affine"
    assert found["quarantined"] == [{"name": "acme/broken", "reason": "its process ended", "until": 1e9}]
    assert found["pulls"] == [] and serving.residency.measured == 1


async def test_pulls_under_way(serving: Serving, client: httpx.AsyncClient) -> None:
    """By name; of a folder only its own name is told."""
    pulls = serving.context.pulls
    async with aclosing(pulls.follow(PullOrder("slow"))) as events:
        async for event in events:
            if getattr(event, "path", "") == "endless.safetensors":
                break
        (found,) = (await client.get("/page/status")).json()["pulls"]
        assert found == {"name": "slow", "work": "pull", "status": "copying", "completed": 0, "total": 0}
    await until(lambda: not pulls.under_way())
    assert (await client.get("/page/status")).json()["pulls"] == []


@pytest.mark.parametrize(
    ("order", "name"),
    [
        (PullOrder("owner/name"), "owner/name"),
        (PullOrder("/home/me/secret/folder/"), "folder"),
        (PullOrder("~/models/x"), "x"),
        (PullOrder("./x", name="mine"), "mine"),
        (PullOrder("/"), "/"),
        (QuantizeOrder("starter", 8), "starter"),
    ],
)
def test_names_of_what_is_pulled(order: Any, name: str) -> None:
    assert live_status._subject(order) == name


async def test_looking_on_does_not_fill_the_log(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    """A line of each look at level DEBUG; a refused one is logged as everything is."""
    caplog.set_level("DEBUG", "mlx_serve.daemon.http")
    await client.get("/page/status")
    await client.get("/v1/models")
    await client.get("/page/status", headers={"host": "evil.example"})
    await asyncio.sleep(0)
    lines = [
        (record.fields["path"], record.levelname)  # type: ignore[attr-defined]
        for record in caplog.records
        if record.message == "answer request"
    ]
    assert lines == [("/page/status", "DEBUG"), ("/v1/models", "INFO"), ("/page/status", "INFO")]
