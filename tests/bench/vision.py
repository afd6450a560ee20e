"""Pictures through the daemon beside mlx_vlm.server in the same run: first tokens, streams, and text beside pictures.

    python tests/bench/vision.py [--shape tiny | --model FOLDER] [-c 1,8,16] [--side 448] [--rounds 2]

Every request has a picture of its own, --side pixels wide and high, so that neither server has seen it before. Servers
are loaded in turn, one at a time where --apart is given (on a GPU). Last, a stream of text runs while pictures come,
and its longest pause between two tokens is printed, with pictures and without.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import io
import itertools
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import servers
from load import StreamFailed, stream, text
from make_vision_model import TOWERS
from PIL import Image


@dataclass(frozen=True)
class Level:
    """One run at a number of streams: tokens a second in all, and medians in milliseconds."""

    tok_s: float
    first_ms: float
    per_token_ms: float
    prompt_tokens: float


def picture(source: random.Random, side: int) -> str:
    """A data: URL of a PNG that nobody has seen."""
    coarse = np.frombuffer(source.randbytes(3 * (side // 16 + 1) ** 2), np.uint8).reshape(side // 16 + 1, -1, 3)
    made = io.BytesIO()
    Image.fromarray(coarse.repeat(16, 0).repeat(16, 1)[:side, :side]).save(made, "PNG")
    return "data:image/png;base64," + base64.b64encode(made.getvalue()).decode()


def content(source: random.Random, side: int) -> list[dict[str, Any]]:
    return [
        {"type": "image_url", "image_url": {"url": picture(source, side)}},
        {"type": "text", "text": text(source, 12)},
    ]


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=1800)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


async def level(server: servers.Server, streams: int, options: argparse.Namespace, seed: int) -> Level:
    """So many requests at once, --per of them one after the other in each stream. Raises StreamFailed."""
    source = random.Random(seed)
    waiting = [content(source, options.side) for _ in range(streams * options.per)]
    done = []
    async with connected() as session:

        async def work() -> None:
            while waiting:
                done.append(await stream(session, server.url, server.model, waiting.pop(), options.max_tokens))

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(streams)))
        seconds = time.perf_counter() - began
    return Level(
        sum(answer.tokens for answer in done) / seconds,
        statistics.median(answer.first for answer in done) * 1e3,
        statistics.median(answer.per_token for answer in done) * 1e3,
        statistics.median(answer.prompt_tokens for answer in done),
    )


async def pauses(server: servers.Server, pictures: int, options: argparse.Namespace, seed: int) -> tuple[float, float]:
    """The median and the longest pause of a text stream in milliseconds while so many pictures come one by one."""
    source = random.Random(seed)
    times: list[float] = []
    body = {
        "model": server.model,
        "messages": [{"role": "user", "content": text(source, 30)}],
        "max_tokens": options.beside,
        "stream": True,
        "temperature": 0,
        "ignore_eos": True,
    }
    async with connected() as session:

        async def disturb() -> None:
            for _ in range(pictures):
                await stream(session, server.url, server.model, content(source, options.side), 4)

        async with session.post(server.url + "/v1/chat/completions", json=body) as response:
            if response.status != 200:
                raise StreamFailed(f"status {response.status}: {(await response.text())[:200]}")
            others: asyncio.Task[None] | None = None
            async for line in response.content:
                if line.startswith(b"data: {"):
                    times.append(time.perf_counter())
                if len(times) == 8:
                    others = others or asyncio.create_task(disturb())
            if others is not None:
                if pictures and not others.done():
                    print("(the text ended before the pictures did: give it more tokens with --beside)")
                await others
    gaps = [(after - before) * 1e3 for before, after in itertools.pairwise(times[8:])]
    return statistics.median(gaps), max(gaps)


@contextlib.contextmanager
def checkpoint(options: argparse.Namespace) -> Iterator[Path]:
    if options.model is not None:
        yield options.model.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="mlx-serve-bench-vision-") as folder:
        make = [sys.executable, str(Path(__file__).with_name("make_vision_model.py")), folder, options.shape]
        subprocess.run([*make, "--dtype", options.dtype], check=True)
        yield Path(folder)


Found = dict[str, dict[int, list[Level]]]


def measure(server: servers.Server, counts: list[int], number: int, options: argparse.Namespace, found: Found) -> None:
    if number == 0:
        print(f"{server.name}: warming up", flush=True)
        for count in counts:
            asyncio.run(level(server, count, options, seed=count))
    for count in counts:
        one = asyncio.run(level(server, count, options, seed=1000 * (number + 1) + count))
        found.setdefault(server.name, {}).setdefault(count, []).append(one)
        print(
            f"round {number + 1}, {count:>3} streams, {server.name:>14}: {one.tok_s:>8.1f} tok/s, first token "
            f"{one.first_ms:.0f} ms, {one.per_token_ms:.1f} ms a token, prompts of {one.prompt_tokens:.0f} tokens",
            flush=True,
        )


def report(found: Found, counts: list[int]) -> None:
    print("\n| streams | mlx-serve tok/s | mlx_vlm.server tok/s | ratio | first token ms | its first token ms |")
    print("| --- | --- | --- | --- | --- | --- |")
    for count in counts:
        ours, theirs = found["mlx-serve"][count], found["mlx_vlm.server"][count]
        ratios = [a.tok_s / b.tok_s for a, b in zip(ours, theirs, strict=True)]
        cells = [statistics.median(one.tok_s for one in each) for each in (ours, theirs)]
        firsts = [statistics.median(one.first_ms for one in each) for each in (ours, theirs)]
        print(
            f"| {count} | {cells[0]:.0f} | {cells[1]:.0f} | {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}) | {firsts[0]:.0f} | {firsts[1]:.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="tiny", choices=TOWERS)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("-c", "--clients", default="1,8,16")
    parser.add_argument("--side", type=int, default=448, help="of the pictures, in pixels")
    parser.add_argument("--per", type=int, default=2, help="requests one after the other in each stream")
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--beside", type=int, default=300, help="tokens of the text that runs beside pictures")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--apart", action="store_true", help="one server at a time")
    options = parser.parse_args()
    counts = [int(count) for count in options.clients.split(",")]
    found: Found = {}
    with checkpoint(options) as folder:
        if options.apart:
            for number in range(options.rounds):
                for begin in (servers.ours, servers.vision_peer):
                    with begin(folder) as server:
                        warm = argparse.Namespace(**vars(options))
                        measure_apart(server, counts, number, warm, found)
        else:
            with servers.ours(folder) as ours, servers.vision_peer(folder) as theirs:
                for number in range(options.rounds):
                    for server in (ours, theirs):
                        measure(server, counts, number, options, found)
        report(found, counts)
        with servers.ours(folder) as server:
            asyncio.run(pauses(server, 1, options, seed=1))
            for pictures in (0, 4):
                typical, longest = asyncio.run(pauses(server, pictures, options, seed=2 + pictures))
                print(f"a text beside {pictures} pictures: {typical:.1f} ms a token, longest pause {longest:.0f} ms")


def measure_apart(
    server: servers.Server, counts: list[int], number: int, options: argparse.Namespace, found: Found
) -> None:
    """A server that was just started is warmed up in every round."""
    for count in counts:
        asyncio.run(level(server, count, options, seed=count))
    measure(server, counts, number + 1, options, found)


if __name__ == "__main__":
    main()
