"""A client that hangs up frees its place within a step, whatever its request was doing."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from e2e.scripted_model import HELLO
from support.live_daemon import LiveDaemon, wait_until
from support.live_http import Streamed
from support.process_use import resting, used
from support.waiting import GUARD

SAY_P = [{"role": "user", "content": "say P"}]
PADDING = {"comment": "x" * 200_000}  # a field that nobody knows
PROMPT_OF_MANY_STEPS = "x" * 120_000 + "P"


class Client:
    """A request whose answer is awaited, but never read to its end."""

    def __init__(self, daemon: LiveDaemon, path: str, body: dict[str, Any]) -> None:
        content = json.dumps(body | {"model": "scripted"}).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(content)}\r\n\r\n"
        self.sock = socket.create_connection(("127.0.0.1", daemon.port), timeout=GUARD)
        self.sock.sendall(head.encode() + content)

    def hear(self) -> bytes:
        return self.sock.recv(65536)

    def reset(self) -> None:
        """Let the end be a reset instead of an orderly close."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def leave(self) -> None:
        self.sock.close()


STREAMING: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": SAY_P, "stream": True}),
    "completion": ("/v1/completions", {"prompt": "say P", "stream": True, "max_tokens": 200_000}),
    "choices": ("/v1/chat/completions", {"messages": SAY_P, "stream": True, "n": 2}),
    "ollama chat": ("/api/chat", {"messages": SAY_P}),
    "large body": ("/v1/chat/completions", {"messages": SAY_P, "stream": True} | PADDING),
    "ollama, large body": ("/api/generate", {"prompt": "say P"} | PADDING),
}
WHOLE: dict[str, tuple[str, dict[str, Any]]] = {
    "whole chat": ("/v1/chat/completions", {"messages": SAY_P}),
    "whole prompts": ("/v1/completions", {"prompt": ["say P", "say Q"], "max_tokens": 200_000}),
    "whole ollama generate": ("/api/generate", {"prompt": "say P", "stream": False}),
    "whole, large body": ("/v1/chat/completions", {"messages": SAY_P} | PADDING),
    "prefill": ("/v1/completions", {"prompt": PROMPT_OF_MANY_STEPS, "max_tokens": 100_000}),
}


@pytest.fixture(scope="module")
def narrow(models: Any) -> Iterator[LiveDaemon]:
    """A daemon that decodes two sequences at once, and the model in it."""
    with LiveDaemon(models, engine_max_batch=2) as daemon:
        daemon.ready()
        assert daemon.chat("scripted", "say H").text == HELLO.text
        yield daemon


@pytest.fixture(autouse=True)
def same_process(narrow: LiveDaemon) -> Iterator[None]:
    """Every client leaves the process, and afterwards no work in it."""
    pid = narrow.runner("local/scripted")
    yield
    narrow.wait_for_rest()
    assert narrow.runner("local/scripted") == pid
    wait_until(lambda: resting([psutil.Process(pid)], 0.1, allowed=0.02), "the engine is idle")


def running(daemon: LiveDaemon, count: int) -> None:
    wait_until(lambda: daemon.gauge("queue_running") + daemon.gauge("queue_waiting") == count, f"{count} requests")


def fill(daemon: LiveDaemon) -> Streamed:
    """Another endless stream, so that one place is left."""
    stream = daemon.chat_stream("scripted", "say T")
    assert stream.wait_for_text()
    return stream


@pytest.mark.parametrize("case", STREAMING)
def test_a_stream_that_is_dropped_makes_room_for_who_waits(narrow: LiveDaemon, case: str) -> None:
    path, body = STREAMING[case]
    client = Client(narrow, path, body)
    said = b""
    while b" p1" not in said:
        said += client.hear()
    # The other place: taken by another stream, or by the client's second choice.
    other = fill(narrow) if case != "choices" else narrow.chat_stream("scripted", "say T")
    with other, narrow.chat_stream("scripted", "say H") as waiting:
        running(narrow, 3)
        client.leave()
        assert other.wait_for_text() and waiting.rest().text == HELLO.text


@pytest.mark.parametrize("case", WHOLE)
def test_an_answer_that_nobody_awaits_any_more_makes_room(narrow: LiveDaemon, case: str) -> None:
    path, body = WHOLE[case]
    client = Client(narrow, path, body)
    running(narrow, 1)
    if case == "prefill":
        pid = narrow.runner("local/scripted")
        wait_until(lambda: not resting([psutil.Process(pid)], 0.1, allowed=0.02), "the prompt is being read")
    engine = psutil.Process(narrow.runner("local/scripted"))
    before = used(engine)
    client.leave()
    narrow.wait_for_rest()
    assert narrow.chat("scripted", "say H").text == HELLO.text
    assert used(engine) - before < 5, "seconds of the processor, for all of its work would be many more"


def test_who_waits_for_a_place_can_leave_too(narrow: LiveDaemon) -> None:
    """Those behind are not held up, those before not disturbed."""
    with fill(narrow) as first, fill(narrow) as second:
        clients = [Client(narrow, *STREAMING[case]) for case in STREAMING]
        running(narrow, 2 + len(clients))
        for client in clients:
            client.leave()
        running(narrow, 2)
        assert first.wait_for_text() and second.wait_for_text()


def test_many_open_and_drop_cycles_leave_nothing_behind(narrow: LiveDaemon) -> None:
    """At once, after the head, in the middle of the text, by an orderly close and by a reset."""
    narrow.wait_for_rest()
    descriptors = narrow.descriptors()
    memory = psutil.Process(narrow.pid).memory_info().rss
    cases = [*STREAMING, *(case for case in WHOLE if case != "prefill")]
    for turn in range(200):
        case = cases[turn % len(cases)]
        client = Client(narrow, *(STREAMING | WHOLE)[case])
        if case in STREAMING and turn % 4 < 2:
            assert client.hear()
        if turn % 3 == 0:
            client.reset()
        client.leave()
    narrow.wait_for_rest()
    wait_until(lambda: narrow.descriptors() <= descriptors, "no descriptor is left open")
    assert psutil.Process(narrow.pid).memory_info().rss - memory < 30 << 20
    assert narrow.gauge('requests_in_flight{endpoint="/v1/chat/completions"}') == 0
    assert narrow.gauge('cancelled_total{model="local/scripted"}') > 50
    assert narrow.chat("scripted", "say H").text == HELLO.text
