"""auto_download: the first request for a model of the hub brings it in; all who wait get it, or the reason."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest
from e2e.pulling_daemon import QUIET, PullingDaemon, environment, model
from e2e.scripted_model import HELLO, write_scripted
from fakes.hub import faults
from fakes.hub.faults import Gate, paused
from fakes.hub.server import Hub
from support.forked_daemons import PING, ForkedDaemons
from support.live_daemon import together, wait_until
from support.live_http import user

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def downloading(hub: Hub, forks: ForkedDaemons, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PullingDaemon]:
    """A daemon that fetches what it is asked for, and `acme/talker` on the hub."""
    folder = tmp_path_factory.mktemp("talker")
    hub.add_folder("acme/talker", write_scripted(folder / "talker"))
    environ = environment(hub, folder, **{PING: "0.1"})
    with forks.daemon(environ=environ, models_auto_download="true") as daemon:
        yield PullingDaemon(hub, daemon.ready())
    hub.heal()


def test_everybody_who_waits_is_kept_alive_and_gets_the_model(downloading: PullingDaemon) -> None:
    """One download, four clients in all dialects; what streams is told that it is not forgotten."""
    repository = downloading.hub.repository("acme/talker")
    gate = Gate()
    downloading.hub.fault("*acme/talker/*.safetensors", paused(100_000, gate))
    daemon = downloading.daemon
    body = json.dumps({"model": "acme/talker", "messages": [user(HELLO.name)], "stream": True})
    connection = daemon.connect()

    def streamed() -> str:
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        first = answer.readline()
        assert answer.status == 200 and b"delta" in first, first  # bytes before there is a model to speak
        gate.open()
        with contextlib.closing(connection):
            return b"".join(answer).decode()

    said, whole, ollama, legacy = together(
        [
            streamed,
            lambda: daemon.chat("acme/talker", HELLO.name).text,
            lambda: daemon.post("/api/chat", model="acme/talker", messages=[user(HELLO.name)], stream=False).text,
            lambda: daemon.complete("acme/talker", HELLO.name).text,
        ]
    )
    assert "data: [DONE]" in said and '"error"' not in said
    assert whole == ollama == HELLO.text
    assert legacy.startswith(HELLO.text[:5])
    weights = downloading.bodies(repository, "model.safetensors")
    assert sum(request.sent for request in weights) == repository.head.files["model.safetensors"].content.size


def test_a_client_learns_why_there_is_no_model(downloading: PullingDaemon) -> None:
    hub, daemon = downloading.hub, downloading.daemon
    hub.add("acme/guarded", model(), gated=True, allowed=["hf_x"])
    hub.add("acme/pickles", {"config.json": b'{"model_type": "llama"}', "pytorch_model.bin": b"x"})
    answers = {name: daemon.chat(name, "Hi") for name in ("acme/nothing", "acme/guarded", "acme/pickles")}
    assert answers["acme/nothing"].status == 404
    assert all(400 <= answer.status < 600 for answer in answers.values())
    assert "acme/guarded" in answers["acme/guarded"].error["message"]
    assert "safetensors" in answers["acme/pickles"].error["message"]


def test_a_failure_in_the_middle_of_waiting_ends_the_stream_with_a_reason(downloading: PullingDaemon) -> None:
    files = model(400_000, seed=80)
    downloading.hub.add("acme/breaks", files)
    gate = Gate()
    downloading.hub.fault(f"*acme/breaks/*{WEIGHTS}", faults.corrupt(300_000, times=None))
    downloading.hub.fault(f"*acme/breaks/*{WEIGHTS}", paused(100_000, gate))
    with downloading.daemon.chat_stream("acme/breaks", "Hi") as stream:
        gate.wait()
        downloading.hub.hang_up()
        gate.open()
        assert "model.safetensors" in json.dumps(stream.rest().last["error"])


def test_a_download_that_nobody_waits_for_stops(downloading: PullingDaemon) -> None:
    repository = downloading.hub.add("acme/forgotten", model(400_000, seed=81))
    stalled = downloading.hub.fault(f"*acme/forgotten/*{WEIGHTS}", faults.stall(100_000))
    stream = downloading.daemon.chat_stream("acme/forgotten", "Hi")
    assert stalled.gate is not None
    stalled.gate.wait()
    stream.drop()
    wait_until(lambda: all(r.done for r in downloading.bodies(repository)), "the daemon hung up", QUIET)
    assert "acme/forgotten" not in downloading.names()


def test_names_without_an_owner_are_not_looked_for(downloading: PullingDaemon) -> None:
    asked = len(downloading.hub.requests)
    assert downloading.daemon.chat("talkative", "Hi").status == 404
    assert len(downloading.hub.requests) == asked


def test_it_is_off_unless_asked_for(pulling: PullingDaemon) -> None:
    asked = len(pulling.hub.requests)
    assert pulling.daemon.chat("acme/talker", "Hi").status == 404
    assert len(pulling.hub.requests) == asked
