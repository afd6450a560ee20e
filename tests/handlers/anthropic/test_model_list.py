"""GET /v1/models as Anthropic's clients and as others see it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fakes.serving import MODEL, Serving

VERSION = {"anthropic-version": "2023-06-01"}


async def listed(client: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    response = await client.get("/v1/models", headers=VERSION, params=query)
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


async def test_one_list_for_each_dialect(client: httpx.AsyncClient) -> None:
    document = await listed(client)
    ids = [entry["id"] for entry in document["data"]]
    assert document["has_more"] is False and (document["first_id"], document["last_id"]) == (ids[0], ids[-1])
    (entry,) = [entry for entry in document["data"] if entry["id"] == MODEL]
    assert entry["type"] == "model" and entry["display_name"] == MODEL and entry["created_at"].endswith("Z")
    theirs = (await client.get("/v1/models")).json()
    assert theirs["object"] == "list" and sorted(each["id"] for each in theirs["data"]) == sorted(ids)


async def test_pages(serving: Serving, client: httpx.AsyncClient) -> None:
    for index in range(5):
        serving.store.add(f"acme/m{index}")
    ids = [entry["id"] for entry in (await listed(client))["data"]]
    first = await listed(client, limit=3)
    assert [entry["id"] for entry in first["data"]] == ids[:3] and first["has_more"]
    rest = await listed(client, limit=1000, after_id=first["last_id"])
    assert [entry["id"] for entry in rest["data"]] == ids[3:] and not rest["has_more"]
    before = await listed(client, limit=2, before_id=ids[3])
    assert [entry["id"] for entry in before["data"]] == ids[1:3] and before["has_more"]
    last = await listed(client, after_id=ids[-1])
    assert last == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"after_id": "nobody"}, "after_id"),
        ({"after_id": MODEL, "before_id": MODEL}, "before_id"),
    ],
)
async def test_bad_queries(client: httpx.AsyncClient, query: dict[str, Any], param: str) -> None:
    response = await client.get("/v1/models", headers=VERSION, params=query)
    assert response.status_code == 400 and f"'{param}'" in response.json()["error"]["message"]


async def test_one_model(client: httpx.AsyncClient) -> None:
    entry = (await client.get(f"/v1/models/{MODEL}", headers=VERSION)).json()
    assert (entry["type"], entry["id"]) == ("model", MODEL)
    assert (await client.get(f"/v1/models/{MODEL}")).json()["object"] == "model"
    missing = await client.get("/v1/models/nobody", headers=VERSION)
    assert missing.status_code == 404 and missing.json()["error"]["type"] == "not_found_error"
    assert missing.json()["request_id"] == missing.headers["request-id"]
