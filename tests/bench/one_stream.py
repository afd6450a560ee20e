"""One answer at a time through HTTP beside `mlx_lm.stream_generate` in a process of its own, in turns.

usage: one_stream.py [--shape tiny | --model FOLDER] [--rounds 3] [--words 200] [--tokens 128] [--answers 6]
Times of a token after the first one and until the first one, medians of each round in milliseconds. On a GPU nothing
else may hold it: only one of the two processes is up at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time

import aiohttp
import run
import servers
from figures import Figures
from load import stream, text
from openblas import preload

WARM = 2


async def ours(server: servers.Server, seed: int, arguments: argparse.Namespace) -> dict[str, float]:
    """As `bare`, through HTTP."""
    source, tokens, firsts = random.Random(seed), [], []
    sampling = {"temperature": arguments.temperature, "top_p": arguments.top_p}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1800)) as session:
        for number in range(WARM + arguments.answers):
            prompt = text(source, arguments.words)
            one = await stream(session, server.url, server.model, prompt, arguments.tokens, sampling)
            if number >= WARM and one.tokens > 1:
                tokens.append(1e3 * one.per_token)
                firsts.append(1e3 * one.first)
    return {"token": statistics.median(tokens), "first": statistics.median(firsts), "prompt": one.prompt_tokens}


def bare(folder: str, prompt: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Of mlx-lm's own function in this process, with prompts of so many random tokens."""
    preload()
    import mlx_lm
    from mlx_lm.sample_utils import make_sampler

    model, tokenizer = mlx_lm.load(folder)[:2]
    sampler = make_sampler(temp=arguments.temperature, top_p=arguments.top_p)
    source, tokens, firsts = random.Random(prompt), [], []
    for number in range(WARM + arguments.answers):
        ids = [source.randrange(4000) for _ in range(prompt)]
        times = [time.perf_counter()]
        for _ in mlx_lm.stream_generate(model, tokenizer, ids, max_tokens=arguments.tokens, sampler=sampler):
            times.append(time.perf_counter())
        if number >= WARM and len(times) > 3:
            tokens.append(1e3 * (times[-1] - times[1]) / (len(times) - 2))
            firsts.append(1e3 * (times[1] - times[0]))
    return {"token": statistics.median(tokens), "first": statistics.median(firsts)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    run.checkpoint_options(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--words", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--answers", type=int, default=6)
    run.turn_options(parser, 2.0)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--bare", type=int, metavar="TOKENS", help="only mlx-lm, in this process")
    arguments = parser.parse_args()
    if arguments.bare:
        print(json.dumps(bare(str(arguments.model), arguments.bare, arguments)))
        return 0
    found = Figures()
    with run.checkpoint(arguments) as folder:
        prompt = 0
        for number in range(arguments.rounds):
            for tree in run.trees(arguments):
                with servers.ours(folder, tree=tree) as server:
                    asyncio.run(ours(server, 1, argparse.Namespace(**vars(arguments) | {"answers": 1})))
                    servers.rested(server)
                    time.sleep(arguments.rest)
                    figures = asyncio.run(ours(server, 10 + number, arguments))
                    prompt = int(figures["prompt"])
                    found.note(server.name, figures)
            options = ["--tokens", str(arguments.tokens), "--answers", str(arguments.answers), "--bare", str(prompt)]
            options += ["--temperature", str(arguments.temperature), "--top-p", str(arguments.top_p)]
            found.note_process("mlx-lm", __file__, folder, *options)
    peer = dict(found.medians())["mlx-lm"]["token"]
    for name, medians in found.medians():
        token, first = medians["token"], medians["first"]
        print(f"{name:>20}: {token:.2f} ms a token, {token / peer:.2f} of mlx-lm's; first {first:.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
