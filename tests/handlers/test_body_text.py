"""A body that is not UTF-8 is refused wherever in it the bytes stand: also in fields that nobody knows, and in those
that are handed on as they came."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fakes.serving import MODEL, Serving

HI = [{"role": "user", "content": "hi"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": MODEL, "messages": HI},
    "/v1/completions": {"model": MODEL, "prompt": "hi"},
    "/v1/embeddings": {"model": "acme/vectors", "input": "hi"},
    "/api/chat": {"model": MODEL, "messages": HI},
    "/api/generate": {"model": MODEL, "prompt": "hi"},
    "/api/pull": {"model": "starter"},
}
WRONG = (b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xc0\xaf")
"""A byte that never is, a broken pair, a surrogate, a cut-off character, an overlong one."""


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("field", ["nobody_knows_it", "format", "guided_json", "user", "options"])
async def test_it_is_refused_in_every_field(serving: Serving, client: httpx.AsyncClient, path: str, field: str) -> None:
    body = json.dumps(BODIES[path] | {field: {"a": "HERE"}}).encode()
    for text in WRONG:
        answer = await client.post(path, content=body.replace(b"HERE", text))
        assert answer.status_code == 400, (text, answer.text)
        assert "not valid UTF-8" in answer.text
    assert not serving.engine.requests


async def test_a_large_body_is_looked_at_in_parts_that_may_cut_a_character(client: httpx.AsyncClient) -> None:
    """And what is valid is no less so for being long."""
    for shift in range(4):
        text = "x" * shift + "é😀" * 300_000
        answer = await client.post("/v1/chat/completions", json=BODIES["/v1/chat/completions"] | {"u": text})
        assert answer.status_code == 200
        body = json.dumps(BODIES["/v1/chat/completions"] | {"u": text + "HERE"}, ensure_ascii=False).encode()
        wrong = await client.post("/v1/chat/completions", content=body.replace(b"HERE", b"\xf0\x9f"))
        assert wrong.status_code == 400 and "not valid UTF-8" in wrong.text
