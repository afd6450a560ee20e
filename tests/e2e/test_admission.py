"""How many requests are taken, and what the others are told: at once, in their dialect, with when to come back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from e2e.scripted_model import HELLO
from support.live_daemon import LiveDaemon, together, wait_until
from support.live_http import Streamed

BATCH, QUEUE, CLIENTS = 2, 3, 20


@pytest.fixture(scope="module")
def small(models: Path) -> Iterator[LiveDaemon]:
    with LiveDaemon(models, engine_max_batch=BATCH, server_max_queue=QUEUE) as daemon:
        yield daemon.ready()


def burst(daemon: LiveDaemon) -> tuple[list[Streamed], list[Streamed]]:
    """Twenty endless streams at the same time, half of them in each dialect: those taken, those refused."""
    asks = [partial(daemon.chat_stream, "scripted", "say P"), partial(daemon.ollama_stream, "scripted", "say Q")]
    streams = together([asks[number % 2] for number in range(CLIENTS)])
    return [each for each in streams if each.status == 200], [each for each in streams if each.status != 200]


@pytest.mark.parametrize("state", ["not loaded", "loaded"])
def test_exactly_as_many_are_taken_as_there_are_places(small: LiveDaemon, state: str) -> None:
    """While the model is still on its way in, and once it is there."""
    assert bool(small.runners()) == (state == "loaded")
    taken, refused = burst(small)
    assert (len(taken), len(refused)) == (BATCH + QUEUE, CLIENTS - BATCH - QUEUE)
    assert small.gauge("queue_running") == BATCH and small.gauge("queue_waiting") == QUEUE
    for stream in refused:
        assert stream.status == 503 and 1 <= int(stream.headers["Retry-After"]) <= 60
        error = stream.next()["error"]
        message = error if isinstance(error, str) else error["message"]
        assert message == "server busy, please try again.  maximum pending requests exceeded"
        if not isinstance(error, str):
            assert (error["type"], error["code"]) == ("server_error", "queue_full")
    assert {isinstance(stream.last["error"], str) for stream in refused} == {True, False}
    wait_until(lambda: bool(small.runners()), "the model is in: a load that nobody waits for is given up")
    for stream in taken + refused:
        stream.drop()
    small.wait_for_rest()


def test_the_refusal_is_at_once_and_health_never_queues(small: LiveDaemon) -> None:
    with small.chat_stream("scripted", "say P") as first:
        assert first.wait_for_text()
        others = [small.chat_stream("scripted", "say Q") for _ in range(BATCH + QUEUE - 1)]
        wait_until(lambda: small.gauge("queue_waiting") == QUEUE, "the queue is full")
        for path in ("/v1/chat/completions", "/v1/completions", "/api/chat", "/api/generate"):
            refused = small.post(path, model="scripted", messages=[], prompt="x")
            if refused.status != 400:  # an empty chat is refused before it asks for a place
                assert refused.status == 503, (path, refused)
        for path in ("/healthz", "/readyz", "/metrics", "/v1/models", "/api/tags", "/api/ps", "/api/version", "/"):
            answer = small.get(path)
            assert answer.status == 200, path
        assert small.gauge("queue_waiting") == QUEUE, "nobody ahead has ended meanwhile"
        for stream in others:
            stream.drop()
    small.wait_for_rest()


def test_a_place_that_is_free_again_is_given_away(small: LiveDaemon) -> None:
    """Those who waited get their answers in full, and so does who comes later."""
    taken, refused = burst(small)
    for stream in refused:
        stream.drop()
    taken[0].drop()
    wait_until(lambda: small.gauge("queue_waiting") == QUEUE - 1, "one has left")
    late = small.chat_stream("scripted", "say H")
    assert late.status == 200
    for stream in taken[1:]:
        stream.drop()
    assert late.rest().text == HELLO.text and late.whole
    small.wait_for_rest()
    assert small.chat("scripted", "say H").text == HELLO.text
