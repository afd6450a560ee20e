"""One streamed answer of `/v1/chat/completions` over TCP, with the moments at which its pieces came."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit


class BenchFailed(Exception):
    """The daemon refused, or the connection ended before the answer did; `str()` is a sentence."""


@dataclass(frozen=True)
class Endpoint:
    """The daemon's `url`, and the key that it is sent."""

    url: str
    key: str | None

    def connect(self) -> HTTPConnection:
        parts = urlsplit(self.url)
        return HTTPConnection(parts.hostname or "", parts.port)

    def headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})


@dataclass(frozen=True)
class Timing:
    """Moments in seconds of one clock: the request, the first piece of text, and the end, for not every token is text
    (a model that goes on behind its own end says special ones). Tokens as the daemon's usage counts them; `cached` ones
    of the prompt were not read again."""

    started: float
    first: float
    last: float
    prompt: int
    cached: int
    tokens: int


def post(endpoint: Endpoint, path: str, body: dict[str, Any]) -> Any:
    """A whole answer. Raises BenchFailed."""
    with _connected(endpoint) as connection:
        return json.loads(_response(endpoint, connection, path, body).read())


def stream(
    endpoint: Endpoint,
    model: str,
    prompt: str,
    tokens: int,
    piece: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """An answer of exactly so many tokens, for the end of the answer is ignored; `piece` is called at each. Raises
    BenchFailed."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    usage: dict[str, Any] | None = None
    moments: list[float] = []
    with _connected(endpoint) as connection:
        started = clock()
        for event in _events(_response(endpoint, connection, "/v1/chat/completions", body)):
            usage = event.get("usage") or usage
            if any(_says_something(choice.get("delta") or {}) for choice in event.get("choices") or ()):
                moments.append(clock())
                piece()
        ended = clock()
    if usage is None:
        raise BenchFailed("the answer ended before it was whole")
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return Timing(
        started,
        moments[0] if moments else ended,
        ended,
        int(usage["prompt_tokens"]),
        int(cached),
        int(usage["completion_tokens"]),
    )


def _says_something(delta: dict[str, Any]) -> bool:
    return any(delta.get(name) for name in ("content", "reasoning_content", "reasoning", "tool_calls"))


@contextmanager
def _connected(endpoint: Endpoint) -> Iterator[HTTPConnection]:
    """Its failures are BenchFailed."""
    connection = endpoint.connect()
    try:
        yield connection
    except (OSError, HTTPException, ValueError) as error:
        raise BenchFailed(f"the connection to {endpoint.url} failed: {error}") from error
    finally:
        connection.close()


def _response(endpoint: Endpoint, connection: HTTPConnection, path: str, body: dict[str, Any]) -> Any:
    connection.request("POST", path, json.dumps(body), endpoint.headers())
    if connection.sock is not None:
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    response = connection.getresponse()
    if response.status != 200:
        raise BenchFailed(_message(response.read()) or f"the daemon answered with status {response.status}")
    return response


def _events(response: Any) -> Iterator[dict[str, Any]]:
    for line in response:
        if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
            event = json.loads(line[6:])
            if event.get("error"):
                raise BenchFailed(_message(line[6:]))
            yield event


def _message(body: bytes) -> str:
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return ""
    return str(error.get("message") if isinstance(error, dict) else error)
