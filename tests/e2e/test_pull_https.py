"""Pulls over https, as from the real hub: who is trusted, and that nothing leads from there to plain http."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from e2e.conftest import StartPulling
from e2e.pulling_daemon import PullingDaemon, kept, model
from fakes.hub import faults
from fakes.hub.server import CERTIFICATE, Hub

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def secure() -> Iterator[Hub]:
    with Hub(secure=True) as running:
        yield running


@pytest.fixture
def trusting(start_pulling: StartPulling, secure: Hub) -> PullingDaemon:
    """A daemon that knows the hub's certificate."""
    environ = {"HF_ENDPOINT": secure.url, "SSL_CERT_FILE": str(CERTIFICATE)}
    return PullingDaemon(secure, start_pulling(environ=environ).daemon)


def test_a_gated_model_comes_over_https_and_the_token_stays_with_the_hub(trusting: PullingDaemon) -> None:
    files = model(3_000_000, seed=90)
    trusting.hub.add("acme/safe", files, gated=True, allowed=["hf_safe"])
    trusting.pull("acme/safe", token="hf_safe")
    assert trusting.stored(files) == kept(files)
    assert {request.had_token for request in trusting.hub.cdn_requests} == {False}


def test_nothing_leads_from_https_to_http(trusting: PullingDaemon, hub: Hub) -> None:
    """Neither the hub nor the CDN may point to an address without encryption; nobody asks there."""
    files = model(30_000, seed=91)
    trusting.hub.add("acme/down", files)
    elsewhere = hub.add("acme/down", files)
    target = f"{hub.url}/acme/down/resolve/{elsewhere.head.id}/{WEIGHTS}"
    for where in (f"*acme/down/resolve/*{WEIGHTS}", f"/repos/acme/down/*{WEIGHTS}"):
        trusting.hub.fault(where, faults.moved(target))
        assert "not followed" in trusting.refused("acme/down")
        trusting.hub.heal()
    assert not hub.journal.entries("*acme/down*")


def test_a_certificate_that_nobody_knows_is_one_sentence(start_pulling: StartPulling, secure: Hub) -> None:
    secure.add("acme/unknown", model(1000))
    pulling = PullingDaemon(secure, start_pulling(environ={"HF_ENDPOINT": secure.url}).daemon)
    assert "certificate" in pulling.refused("acme/unknown").lower()
    assert not secure.journal.entries("*acme/unknown*")
