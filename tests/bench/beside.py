"""A chat beside embeddings or reranking, each model in its own process: what each gives alone, and together.

    python tests/bench/beside.py [--chat starter] [--work starter-embed] [--rounds 3] [--seconds 4] [--streams 1,4]

Models are built-in names or folders; `--work` is an embedding model or a reranker. One round is the chat alone, the
work alone, and both at once, in one daemon: only the ratios of one round mean something, for the machine may be busy.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.live_daemon import LiveDaemon

from mlx_serve.store.store import Store

WORDS = (
    *("the", "house", "river", "stone", "blue", "green", "walks", "reads"),
    *("under", "light", "paper", "winter", "garden", "music", "number", "seven"),
)
DOCUMENTS = 8


@dataclass(frozen=True)
class Chat:
    """`pause`: the longest time between two parts of an answer, in milliseconds."""

    tokens_s: float
    pause: float


@dataclass(frozen=True)
class Work:
    """`p95` of a request, in milliseconds."""

    items_s: float
    p95: float


def words(source: random.Random, count: int) -> str:
    return " ".join(source.choice(WORDS) for _ in range(count))


async def for_seconds(seconds: float, clients: int, turn: Callable[[int], Awaitable[None]]) -> float:
    """Each client takes its turns until the time is over; the seconds until the last one had ended."""
    began = time.perf_counter()

    async def client(number: int) -> None:
        while time.perf_counter() - began < seconds:
            await turn(number)

    await asyncio.gather(*(client(number) for number in range(clients)))
    return time.perf_counter() - began


async def chat(session: aiohttp.ClientSession, url: str, model: str, options: Any, streams: int) -> Chat:
    source = random.Random(1)
    tokens: list[int] = []
    pauses: list[float] = []

    async def turn(_: int) -> None:
        body = {
            "model": model,
            "messages": [{"role": "user", "content": words(source, 20)}],
            "max_tokens": options.tokens,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        last = None
        async with session.post(f"{url}/v1/chat/completions", json=body) as response:
            assert response.status == 200, await response.text()
            async for line in response.content:
                if not line.startswith(b"data: {"):
                    continue
                event = json.loads(line[6:])
                assert "error" not in event, event
                if event.get("usage"):
                    tokens.append(event["usage"]["completion_tokens"])
                now = time.perf_counter()
                if last is not None:
                    pauses.append(now - last)
                last = now

    seconds = await for_seconds(options.seconds, streams, turn)
    return Chat(sum(tokens) / seconds, max(pauses) * 1000)


async def work(session: aiohttp.ClientSession, url: str, model: str, kind: str, options: Any) -> Work:
    source = random.Random(2)
    times: list[float] = []
    texts = [words(source, options.words) for _ in range(256)]

    async def turn(_: int) -> None:
        if kind == "embedding":
            path, body = "embeddings", {"input": source.choice(texts), "encoding_format": "base64"}
        else:
            path, body = "rerank", {"query": words(source, 20), "documents": source.sample(texts, DOCUMENTS)}
        began = time.perf_counter()
        async with session.post(f"{url}/v1/{path}", json={"model": model, **body}) as response:
            assert response.status == 200, await response.text()
            await response.read()
        times.append(time.perf_counter() - began)

    seconds = await for_seconds(options.seconds, options.clients, turn)
    items = len(times) * (1 if kind == "embedding" else DOCUMENTS)
    return Work(items / seconds, sorted(times)[int(0.95 * (len(times) - 1))] * 1000)


async def one_round(
    url: str, names: tuple[str, str], kind: str, options: Any, streams: int
) -> tuple[Chat, Work, Chat, Work]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        chat_alone = await chat(session, url, names[0], options, streams)
        work_alone = await work(session, url, names[1], kind, options)
        chat_beside, work_beside = await asyncio.gather(
            chat(session, url, names[0], options, streams), work(session, url, names[1], kind, options)
        )
    return chat_alone, work_alone, chat_beside, work_beside


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chat", default="starter")
    parser.add_argument("--work", default="starter-embed")
    parser.add_argument("--streams", default="1,4")
    parser.add_argument("--clients", type=int, default=16, help="of the embedding model or the reranker")
    parser.add_argument("--words", type=int, default=60, help="of a text or a document")
    parser.add_argument("--tokens", type=int, default=64, help="of an answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder, "models")
        store = Store.open(models)
        talking, working = store.pull(options.chat), store.pull(options.work)
        with LiveDaemon(models) as daemon:
            daemon.ready()
            _measure(daemon.url, (talking.name.display(), working.name.display()), working.manifest.kind, options)


def _measure(url: str, names: tuple[str, str], kind: str, options: Any) -> None:
    unit = "texts/s" if kind == "embedding" else "documents/s"
    heads = ["streams", "chat tokens/s alone", "beside", "ratio", "longest pause ms"]
    heads += [f"{unit} alone", "beside", "ratio", "p95 ms"]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for streams in map(int, options.streams.split(",")):
        rounds = [asyncio.run(one_round(url, names, kind, options, streams)) for _ in range(options.rounds + 1)][1:]
        alone, beside = [each[0] for each in rounds], [each[2] for each in rounds]
        work_alone, work_beside = [each[1] for each in rounds], [each[3] for each in rounds]
        cells = [
            f"{statistics.median(one.tokens_s for one in alone):.0f}",
            f"{statistics.median(one.tokens_s for one in beside):.0f}",
            _ratios([both.tokens_s / one.tokens_s for one, both in zip(alone, beside, strict=True)]),
            f"{_median(one.pause for one in alone)} alone, {_median(one.pause for one in beside)} beside",
            f"{statistics.median(one.items_s for one in work_alone):.0f}",
            f"{statistics.median(one.items_s for one in work_beside):.0f}",
            _ratios([both.items_s / one.items_s for one, both in zip(work_alone, work_beside, strict=True)]),
            f"{_median(one.p95 for one in work_alone)} alone, {_median(one.p95 for one in work_beside)} beside",
        ]
        print(f"| {streams} | {' | '.join(cells)} |", flush=True)


def _median(values: Any) -> str:
    return f"{statistics.median(values):.0f}"


def _ratios(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
