"""Thousands of hostile requests, made from the daemon's own OpenAPI document, to every endpoint: each that is wrong is
refused in the endpoint's dialect with the field's name, none is a failure of the server, and nothing ends. And what
hypothesis makes of the document is answered as the document says.

What is thrown are shares of all that there is, the same ones each time; MLX_SERVE_HOSTILE=1 throws all (ten minutes).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from support.documented import Held
from support.full_requests import FULL
from support.hostile_requests import Attack, Attacks
from support.live_daemon import LiveDaemon
from support.thrown import Thrower, wrong_with

from mlx_serve.store.store import Store

EXAMPLES = 4
SHARE = float(os.environ.get("MLX_SERVE_HOSTILE", "0"))
MODELS = ("starter", "starter-vl", "starter-embed", "starter-rerank")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    """A daemon with each kind of model, all of them loaded; the hub cannot be reached from it."""
    directory = tmp_path_factory.mktemp("hostile") / "models"
    store = Store.open(directory)
    for name in MODELS:
        store.pull(name)
    with LiveDaemon(directory, environ={"HF_ENDPOINT": "http://127.0.0.1:9"}) as daemon:
        daemon.ready()
        assert daemon.complete("starter", "a", max_tokens=1).status == 200
        assert daemon.complete("starter-vl", "a", max_tokens=1).status == 200
        assert daemon.post("/v1/embeddings", model="starter-embed", input="a").status == 200
        assert daemon.post("/v1/rerank", model="starter-rerank", query="a", documents=["a"]).status == 200
        yield daemon


@pytest.fixture
def attacks(hostile: LiveDaemon) -> Attacks:
    return Attacks(hostile.get("/openapi.json").json, FULL)


@pytest.fixture(autouse=True)
def unharmed(hostile: LiveDaemon) -> Iterator[None]:
    """The daemon lives, no model's process has died, nobody waits, and the log tells of no failure."""
    yield
    hostile.wait_for_rest()
    assert hostile.process.poll() is None
    assert b"mlx_serve_model_deaths_total{" not in hostile.get("/metrics").body
    assert hostile.get("/readyz").json == {"status": "ready"}
    assert hostile.log("fail") == [] and hostile.complaints() == ""
    for name in ("starter", "starter-vl"):
        assert hostile.complete(name, "a", max_tokens=1).status == 200


def thrown(hostile: LiveDaemon, attacks: list[Attack], least: int) -> None:
    assert len(attacks) >= least
    thrower = Thrower(hostile.port)
    complaints = thrower.complaints(attacks)
    assert not complaints, f"{len(complaints)} of {len(attacks)}:\n" + "\n".join(complaints[:20])
    assert sum(thrower.statuses.values()) == len(attacks)


def test_methods_that_an_endpoint_does_not_have_and_paths_that_name_nothing(
    hostile: LiveDaemon, attacks: Attacks
) -> None:
    thrown(hostile, [*attacks.of_methods(), *attacks.of_paths()], 400)


def test_bodies_that_are_none_or_broken_or_strange(hostile: LiveDaemon, attacks: Attacks) -> None:
    thrown(hostile, [*attacks.of_bodies(), *attacks.without_fields()], 500)


def test_every_field_with_values_that_it_does_not_take(hostile: LiveDaemon, attacks: Attacks) -> None:
    """Of the wrong type, out of range, too long, deep, huge, no JSON, no UTF-8."""
    thrown(hostile, list(attacks.of_fields(SHARE or 0.02, 0)), 600)


def test_every_field_with_odd_values_that_it_may_take(hostile: LiveDaemon, attacks: Attacks) -> None:
    """These are answered, or refused for what no type says."""
    thrown(hostile, list(attacks.of_fields(0, SHARE or 0.01)), 100)


@pytest.fixture(scope="module")
def held(hostile: LiveDaemon) -> Iterator[Held]:
    holding = Held(hostile.url, hostile.get("/openapi.json").json)
    yield holding
    holding.close()


def hypothesize(held: Held, operation: Any, mode: GenerationMode) -> None:
    """Requests that the document allows, or forbids."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        if mode is GenerationMode.POSITIVE:
            held.good(case)
        held.ask(case)

    ask()


def test_what_the_document_allows_is_answered_as_it_says(held: Held) -> None:
    """Statuses, media types, headers, every field of every answer and of every record of a stream."""
    for operation in held.operations().values():
        hypothesize(held, operation, GenerationMode.POSITIVE)
    assert held.statuses[200] >= 50


def test_what_the_document_forbids_is_refused(held: Held) -> None:
    for operation in held.operations().values():
        if operation.body:
            hypothesize(held, operation, GenerationMode.NEGATIVE)
    assert held.statuses[400] >= 40


def test_an_answer_that_the_document_does_not_know_would_be_noticed(hostile: LiveDaemon) -> None:
    """The test of the tests: one field less in the document is a failure."""
    document = hostile.get("/openapi.json").json
    model = document["components"]["schemas"]["openai.Model"]
    del model["properties"]["owned_by"]
    model["required"].remove("owned_by")
    holding = Held(hostile.url, document)
    with pytest.raises(FailureGroup, match="owned_by"):
        hypothesize(holding, holding.operations()["GET /v1/models"], GenerationMode.POSITIVE)
    holding.close()


def test_the_verdict_on_an_answer_can_be_a_complaint() -> None:
    """The test of the tests."""
    attack = Attack("top_p is 0", "POST", "/v1/completions", b"{}", "top_p", endpoint="/v1/completions")
    good = b'{"error":{"message":"m","type":"invalid_request_error","param":"top_p","code":"c"}}'
    assert wrong_with(attack, 400, {}, good) == ""
    assert "not refused" in wrong_with(attack, 200, {}, b"{}")
    assert "failure" in wrong_with(attack, 500, {}, good)
    assert "failure" in wrong_with(attack, 503, {}, good) and wrong_with(attack, 503, {"retry-after": "1"}, good) == ""
    assert "shape" in wrong_with(attack, 400, {}, b'{"error":"top_p"}')
    assert "name" in wrong_with(attack, 400, {}, good.replace(b'"top_p"', b'"top_k"'))
    assert "status" in wrong_with(attack, 403, {}, good)
