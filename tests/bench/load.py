"""Loads an OpenAI-style chat endpoint with concurrent streams and reports what came back, and when.

Tokens are counted from the server's own usage block. An error event, or a stream that ends without a finish_reason or
without usage, is an error and never a fast success.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

# fmt: off
WORDS = (
    "class", "def", "return", "import", "self", "value", "list", "dict",
    "string", "number", "file", "path", "error", "test", "module", "function",
    "type", "name", "data", "object", "key", "index",
)
# fmt: on
GREEDY: Mapping[str, Any] = {"temperature": 0}


class StreamFailed(Exception):
    """The server refused, broke off or did not say how the answer ended."""


@dataclass(frozen=True)
class Stream:
    """One answer; times in seconds."""

    prompt_tokens: int
    tokens: int
    first: float
    total: float
    per_token: float


@dataclass(frozen=True)
class Level:
    """One run at a fixed number of streams: times in milliseconds, medians over its requests (p95 said so)."""

    streams: int
    requests: int
    errors: int
    error: str | None
    seconds: float
    tokens: int
    tok_s: float
    prompt_tokens: float
    ttft_ms: float
    ttft_p95_ms: float
    tpot_ms: float


def text(source: random.Random, words: int) -> str:
    return " ".join(source.choice(WORDS) for _ in range(words))


async def stream(
    session: aiohttp.ClientSession,
    url: str,
    model: str,
    prompt: str | list[dict[str, Any]],
    max_tokens: int,
    sampling: Mapping[str, Any] = GREEDY,
) -> Stream:
    """`prompt`: the content of one message. Raises StreamFailed."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    } | dict(sampling)
    started = time.perf_counter()
    first = last = None
    usage: dict[str, Any] | None = None
    reason = None
    async with session.post(url + "/v1/chat/completions", json=body) as response:
        if response.status != 200:
            raise StreamFailed(f"status {response.status}: {(await response.text())[:200]}")
        async for line in response.content:
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            event = json.loads(line[6:])
            if "error" in event:
                raise StreamFailed(str(event["error"])[:200])
            usage = event.get("usage") or usage
            for choice in event.get("choices") or ():
                reason = choice.get("finish_reason") or reason
                delta = choice.get("delta") or {}
                if delta.get("content") or delta.get("reasoning") or delta.get("reasoning_content"):
                    last = time.perf_counter()
                    first = first or last
    ended = time.perf_counter()
    if reason is None or usage is None:
        raise StreamFailed("the stream ended without finish_reason or usage")
    first, last = first or ended, last or ended
    tokens = usage["completion_tokens"]
    return Stream(usage["prompt_tokens"], tokens, first - started, ended - started, (last - first) / max(1, tokens - 1))


async def level(
    url: str,
    model: str,
    streams: int,
    *,
    requests: int,
    prompt_words: int,
    max_tokens: int,
    seed: int,
    sampling: Sequence[Mapping[str, Any]] = (GREEDY,),
) -> Level:
    """Keep `streams` requests in flight until `requests` prompts, all different, are answered. They ask for
    `sampling` in turns."""
    source = random.Random(seed)
    waiting = [
        (text(source, prompt_words), sampling[number % len(sampling)]) for number in range(max(streams, requests))
    ]
    done: list[Stream] = []
    errors: list[str] = []
    timeout = aiohttp.ClientTimeout(total=1800)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work() -> None:
            while waiting:
                prompt, asked = waiting.pop()
                try:
                    done.append(await stream(session, url, model, prompt, max_tokens, asked))
                except (StreamFailed, aiohttp.ClientError, TimeoutError, ValueError) as error:
                    errors.append(f"{type(error).__name__}: {error}"[:300])

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(streams)))
        seconds = time.perf_counter() - started

    def at(values: list[float], part: float) -> float:
        return round(sorted(values)[min(len(values) - 1, int(len(values) * part))] * 1e3, 2) if values else 0.0

    tokens = sum(answer.tokens for answer in done)
    return Level(
        streams=streams,
        requests=len(done),
        errors=len(errors),
        error=errors[0] if errors else None,
        seconds=round(seconds, 3),
        tokens=tokens,
        tok_s=round(tokens / seconds, 1),
        prompt_tokens=round(sum(answer.prompt_tokens for answer in done) / max(1, len(done)), 1),
        ttft_ms=at([answer.first for answer in done], 0.5),
        ttft_p95_ms=at([answer.first for answer in done], 0.95),
        tpot_ms=at([answer.per_token for answer in done], 0.5),
    )
