"""GET /openapi.json and GET /docs, as a client and a browser get them."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

import httpx
from fakes.serving import Serving

from mlx_serve.handlers.api_document import documentation


async def test_the_document_is_served(client: httpx.AsyncClient, serving: Serving) -> None:
    """With the daemon's own version; a second time it is the same."""
    answer = await client.get("/openapi.json")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("application/json")
    document = answer.json()
    assert document["openapi"].startswith("3.1.") and document["info"]["version"] == serving.context.version
    assert "/v1/chat/completions" in document["paths"] and "/openapi.json" in document["paths"]
    assert (await client.get("/openapi.json")).content == answer.content


async def test_their_heads_are_served(client: httpx.AsyncClient) -> None:
    for path in ("/openapi.json", "/docs"):
        whole, head = await client.get(path), await client.head(path)
        assert head.status_code == 200 and not head.content
        assert head.headers["content-type"] == whole.headers["content-type"]
        assert (await client.post(path)).status_code == 405


async def test_the_page_runs_its_own_script_and_style_and_nothing_else(client: httpx.AsyncClient) -> None:
    """The policy names both by their digests; a browser computes those of what stands between the tags."""
    answer = await client.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'"
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        assert len(text) > 1000
        assert policy[directive] == f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
    assert not re.search(r"\son\w+=|style=|javascript:|eval\(|innerHTML", answer.text)


async def test_the_page_asks_for_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    assert not re.search(r"(?:https?:)?//[a-z]", page)
    assert re.findall(r'fetch\("([^"]*)"\)', page) == ["openapi.json"]
    markup = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert set(re.findall(r'\b(?:href|src)="([^"]*)"', markup)) == {"#main", "openapi.json", "data:,"}


async def test_the_page_is_read_in_the_dark_on_a_phone_and_by_keyboard(client: httpx.AsyncClient) -> None:
    """What can be seen of it without a browser."""
    page = (await client.get("/docs")).text
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert "@media (prefers-color-scheme: dark)" in page and "@media (max-width:" in page
    assert ":focus-visible" in page and 'class="skip"' in page and '<html lang="en">' in page and "<noscript>" in page


def test_the_document_is_made_when_it_is_first_asked_for() -> None:
    """Not when the daemon starts."""
    made = documentation.Documentation([("/v1/models", ("GET", "HEAD"))])
    assert made.document("1") is made.document("1")
    assert made.page() is made.page()
