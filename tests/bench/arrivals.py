"""Requests that come while others are at work: behind a long prompt, beside streams, and at random moments.

    python tests/bench/arrivals.py [--shape tiny | --model FOLDER] [--long 12000] [--parts behind beside random]
                                   [--peer] [--share 0.7]

`behind`: the first token of a short request while a long prompt is read, and alone. `beside`: the time per token of
four streams while long prompts come one after the other, and alone; and what a long prompt takes, with them and alone.
`random`: prompts of 50 to 8,000 words, or of less, that arrive as a Poisson process at a share of the rate that closed
clients reach; the time per token, and that of the same requests one after the other. Times in milliseconds, one server
at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp
import servers
from load import Stream, stream, text
from prefix import p95
from run import checkpoint, checkpoint_options, trees, turn_options

SHORT_WORDS = 50
SHORT_TOKENS = 8
STREAMS = 4
MIX = (50, 50, 100, 100, 200, 200, 400, 800, 2000, 8000)
MIX_TOKENS = 64

Ask = Callable[[str, int], "asyncio.Task[Stream]"]


@contextlib.asynccontextmanager
async def asking(server: servers.Server) -> AsyncIterator[Ask]:
    """A function that sends a prompt and asks for so many tokens."""
    timeout = aiohttp.ClientTimeout(total=3600)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        yield lambda prompt, tokens: asyncio.ensure_future(stream(session, server.url, server.model, prompt, tokens))


async def behind(ask: Ask, source: random.Random, arguments: argparse.Namespace) -> dict[str, float]:
    """Short requests one after the other, alone and as long as a long prompt is read."""
    alone = [1e3 * (await ask(text(source, SHORT_WORDS), SHORT_TOKENS)).first for _ in range(8)][3:]
    long = ask(text(source, arguments.long), 1)
    await asyncio.sleep(0.3)
    waited: list[float] = []
    while not long.done():
        one = await ask(text(source, SHORT_WORDS), SHORT_TOKENS)
        if not long.done():
            waited.append(1e3 * one.first)
        await asyncio.sleep(0.2)
    ratio = statistics.median(waited) / statistics.median(alone) if waited else 0.0
    return {
        "short alone": statistics.median(alone),
        "short behind p50": statistics.median(waited or [0.0]),
        "short behind p95": p95(sorted(waited) or [0.0]),
        "ratio": ratio,
        "requests": len(waited),
        "long": 1e3 * (await long).first,
    }


async def beside(ask: Ask, source: random.Random, arguments: argparse.Namespace) -> dict[str, float]:
    """Streams that answer at length, alone and while long prompts come in; and a long prompt alone."""

    async def streams(tokens: int) -> float:
        asked = [ask(text(source, SHORT_WORDS), tokens) for _ in range(STREAMS)]
        return 1e3 * statistics.median([one.per_token for one in await asyncio.gather(*asked)])

    plain = await streams(arguments.tokens)
    alone = 1e3 * (await ask(text(source, arguments.long), 1)).first
    read: list[float] = []
    running = asyncio.ensure_future(streams(arguments.tokens))
    while not running.done():
        long = ask(text(source, arguments.long), 1)
        await asyncio.wait([long, running], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            long.cancel()
        else:
            read.append(1e3 * (await long).first)
    both = await running
    return {
        "a token alone": plain,
        "a token beside": both,
        "ratio": both / plain,
        "long alone": alone,
        "long beside": statistics.median(read or [0.0]),
    }


async def at_random(ask: Ask, source: random.Random, arguments: argparse.Namespace) -> dict[str, float]:
    """The same mix of prompts from closed clients, one after the other, and as a Poisson process."""

    def mix(count: int) -> Iterator[str]:
        lengths = [MIX[place % len(MIX)] * arguments.longest // max(MIX) for place in range(count)]
        source.shuffle(lengths)
        return (text(source, length) for length in lengths)

    unloaded = [1e3 * (await ask(prompt, MIX_TOKENS)).per_token for prompt in mix(len(MIX))]
    waiting, began = mix(arguments.requests), time.perf_counter()

    async def client() -> None:
        for prompt in waiting:
            await ask(prompt, MIX_TOKENS)

    await asyncio.gather(*(client() for _ in range(2 * STREAMS)))
    rate = arguments.share * arguments.requests / (time.perf_counter() - began)
    asked: list[asyncio.Task[Stream]] = []
    for prompt in mix(arguments.requests):
        asked.append(ask(prompt, MIX_TOKENS))
        await asyncio.sleep(source.expovariate(rate))
    done = await asyncio.gather(*asked)
    tokens = sorted(1e3 * one.per_token for one in done)
    return {
        "requests/s": rate,
        "a token unloaded p50": statistics.median(unloaded),
        "a token p50": statistics.median(tokens),
        "a token p95": p95(tokens),
        "ratio of p95": p95(tokens) / statistics.median(unloaded),
        "first token p50": 1e3 * statistics.median(one.first for one in done),
        "first token p95": p95(sorted(1e3 * one.first for one in done)),
    }


PARTS = {"behind": behind, "beside": beside, "random": at_random}


async def measure(server: servers.Server, arguments: argparse.Namespace) -> None:
    source = random.Random(arguments.seed)
    async with asking(server) as ask:
        await asyncio.gather(*(ask(text(source, SHORT_WORDS), SHORT_TOKENS) for _ in range(STREAMS)))
        await asyncio.sleep(arguments.rest)
        for name in arguments.parts:
            found = await PARTS[name](ask, source, arguments)
            rounded = {key: round(value, 2) for key, value in found.items()}
            print(f"{server.name}, {name}: {json.dumps(rounded)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    checkpoint_options(parser)
    parser.add_argument("--long", type=int, default=12000, help="words of a long prompt")
    parser.add_argument("--tokens", type=int, default=200, help="of each stream beside long prompts")
    parser.add_argument("--requests", type=int, default=40, help="that arrive at random")
    parser.add_argument("--longest", type=int, default=max(MIX), help="words of the longest of them")
    parser.add_argument("--share", type=float, default=0.7, help="of the rate that closed clients reach")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    turn_options(parser, 0.0)
    parser.add_argument("--peer", action="store_true", help="mlx_lm.server afterwards")
    arguments = parser.parse_args()
    with checkpoint(arguments) as folder:
        for tree in trees(arguments):
            with servers.ours(folder, tree=tree) as server:
                asyncio.run(measure(server, arguments))
        if arguments.peer:
            with servers.peer(folder) as server:
                asyncio.run(measure(server, arguments))


if __name__ == "__main__":
    main()
