"""An operator looks at the requests of a real daemon, and ends one while the others go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from e2e.scripted_model import HELLO
from support.live_daemon import LiveDaemon
from support.waiting import wait_until

SENTENCE = "the request was cancelled by the operator of this server"
PROMPT_OF_MANY_STEPS = "x" * 120_000 + "P"


@pytest.fixture(scope="module")
def single(models: Path) -> Iterator[LiveDaemon]:
    """A daemon that decodes one sequence at a time, and the model in it."""
    with LiveDaemon(models, engine_max_batch=1) as daemon:
        daemon.ready()
        assert daemon.chat("scripted", "say H").text == HELLO.text
        yield daemon


def states(daemon: LiveDaemon) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in daemon.control("GET", "/requests")["requests"]:
        found.setdefault(row["state"], []).append(row)
    return found


def test_one_decodes_and_one_waits(single: LiveDaemon) -> None:
    """Each is shown as what it is, with its tokens; the one that waits is cancelled and the other goes on, then it is
    cancelled too, and a third has the place."""
    with single.chat_stream("scripted", "say P") as first, single.chat_stream("scripted", "say T") as second:
        first.wait_for_text()
        found = wait_until(lambda: len(both := states(single)) == 2 and both, "one decodes, one waits")
        (decoding,), (queued,) = found["decoding"], found["queued"]
        assert decoding["generated_tokens"] > 0 == queued["generated_tokens"]
        assert decoding["prompt_tokens"] > 0 and decoding["model"] == queued["model"]
        assert first.headers["x-request-id"] == decoding["id"]
        single.control("DELETE", f"/requests/{queued['id']}")
        assert second.rest().last["error"]["message"] == SENTENCE
        first.wait_for_text()
        single.control("DELETE", f"/requests/{decoding['id']}")
        assert first.rest().last["error"]["message"] == SENTENCE
    single.wait_for_rest()
    assert single.chat("scripted", "say H").text == HELLO.text


def test_a_response_is_cancelled(single: LiveDaemon) -> None:
    """While another has the model, and while it is told: its last event is a failed response either way."""
    with (
        single.stream("/v1/responses", model="scripted", input="say P") as first,
        single.stream("/v1/responses", model="scripted", input="say T") as second,
    ):
        found = wait_until(lambda: len(both := states(single)) == 2 and both, "one decodes, one waits")
        for stream, state in ((second, "queued"), (first, "decoding")):
            single.control("DELETE", f"/requests/{found[state][0]['id']}")
            last = stream.rest().last
            assert last["type"] == "response.failed" and last["response"]["error"]["message"] == SENTENCE
    single.wait_for_rest()


def test_a_prompt_that_is_being_read_can_be_cancelled(single: LiveDaemon) -> None:
    with single.stream("/v1/completions", model="scripted", prompt=PROMPT_OF_MANY_STEPS, max_tokens=9) as long:
        (row,) = wait_until(lambda: states(single).get("prefilling"), "its prompt is being read")
        assert row["prompt_tokens"] > 100_000 and row["generated_tokens"] == 0
        single.control("DELETE", f"/requests/{row['id']}")
        assert long.rest().last["error"]["message"] == SENTENCE
    assert single.chat("scripted", "say H").text == HELLO.text


def test_a_response_is_cancelled_by_its_id(single: LiveDaemon) -> None:
    """By OpenAI's own client, of a model that says something for ever: known as under way, and ended."""
    http = httpx.Client(trust_env=False, verify=False, timeout=100)
    with openai.OpenAI(base_url=f"{single.url}/v1", api_key="none", max_retries=0, http_client=http) as client:
        found: list[Any] = []
        for event in client.responses.create(model="scripted", input="say P", stream=True):
            found.append(event)
            identity = found[0].response.id
            if event.type == "response.created":
                assert client.responses.retrieve(identity).status == "in_progress"
            deltas = [each for each in found if each.type == "response.output_text.delta"]
            if event in deltas and len(deltas) == 2:
                assert client.responses.cancel(identity).status == "cancelled"
        assert (found[-1].type, found[-1].response.status) == ("response.failed", "cancelled")
        assert client.responses.retrieve(identity).status == "cancelled"
    single.wait_for_rest()
