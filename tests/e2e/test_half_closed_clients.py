"""A client that shuts down its sending side after its request, as `nc -N` does, gets the whole answer."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

import pytest
from support.live_daemon import LiveDaemon

SAY_P = [{"role": "user", "content": "say P"}]


def half_closed(daemon: LiveDaemon, path: str, **body: Any) -> bytes:
    """The body of the answer, read by a client that says nothing more."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(content)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=30) as sock:
        sock.sendall(head.encode() + content)
        sock.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(sock, method="POST")
        response.begin()
        assert response.status == 200
        return response.read()


@pytest.mark.parametrize("tokens", [5, 1000])
def test_it_gets_a_whole_answer(daemon: LiveDaemon, tokens: int) -> None:
    """Also one that takes so long that the daemon looks whether it is still there."""
    wanted = daemon.chat("scripted", "say P", max_tokens=tokens).text
    options = {"num_predict": tokens}
    said = json.loads(half_closed(daemon, "/v1/chat/completions", model="scripted", messages=SAY_P, max_tokens=tokens))
    assert said["choices"][0]["message"]["content"] == wanted
    said = json.loads(half_closed(daemon, "/api/chat", model="scripted", messages=SAY_P, options=options, stream=False))
    assert said["message"]["content"] == wanted


def test_it_gets_a_stream_to_its_end(daemon: LiveDaemon) -> None:
    wanted = daemon.chat("scripted", "say P", max_tokens=300).text
    said = half_closed(daemon, "/v1/chat/completions", model="scripted", messages=SAY_P, max_tokens=300, stream=True)
    *records, last = said.decode().strip().split("\n\n")
    assert last == "data: [DONE]"
    deltas = [json.loads(record.removeprefix("data: "))["choices"] for record in records if "{" in record]
    assert "".join(each[0]["delta"].get("content") or "" for each in deltas if each) == wanted
