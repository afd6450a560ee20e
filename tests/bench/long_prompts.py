"""Prompts of tens of thousands of tokens through HTTP beside mlx-lm's own loop in a process of its own, in turns.

usage: long_prompts.py [--shape tiny | --model FOLDER] [--words 32000] [--rounds 2] [--tokens 64] [--short 7]
Prompt tokens a second and the time of a token, alone, and the time of a token in a batch with short rows. The loop
reads the prompt in chunks of 2,048 tokens, as `mlx_lm.stream_generate` does; its batch is padded to the longest row.
Both begin with the text.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from typing import Any

import aiohttp
import run
import servers
from figures import Figures
from load import Stream, stream, text
from openblas import preload

SHORT_WORDS = 200


async def alone(server: servers.Server, words: int, tokens: int, seed: int) -> Stream:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1800)) as session:
        return await stream(session, server.url, server.model, text(random.Random(seed), words), tokens)


async def beside(server: servers.Server, words: int, tokens: int, short: int, seed: int) -> list[Stream]:
    """The long one once more, which is known, together with short ones."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1800)) as session:
        prompts = [text(random.Random(seed + number), SHORT_WORDS) for number in range(1, short + 1)]
        prompts.insert(0, text(random.Random(seed), words))
        return await asyncio.gather(*(stream(session, server.url, server.model, one, tokens) for one in prompts))


def bare(folder: str, prompt: int, tokens: int, short: int) -> dict[str, float]:
    """mlx-lm's own functions in this process: tokens a second of a prompt of so many words, ms of a token alone, and of
    a step of a batch of caches of its own classes."""
    preload()
    import mlx.core as mx
    import mlx_lm
    from mlx_lm.models.cache import BatchKVCache, KVCache

    model, tokenizer = mlx_lm.load(folder)[:2]

    def once(seed: int) -> tuple[float, float, int]:
        words = text(random.Random(seed), prompt)
        times, read = [time.perf_counter()], 0
        for one in mlx_lm.stream_generate(model, tokenizer, words, max_tokens=tokens):
            times.append(time.perf_counter())
            read = one.prompt_tokens
        return times[1] - times[0], (times[-1] - times[1]) / max(1, len(times) - 2), read

    once(1)
    first, token, read = once(2)
    caches: list[Any] = []
    for _ in model.layers:
        rows = [KVCache() for _ in range(short + 1)]
        for row, cache in enumerate(rows):
            length = SHORT_WORDS if row else prompt
            shape = (1, model.args.num_key_value_heads, length, model.args.head_dim)
            dtype = model.model.embed_tokens.scales.dtype if hasattr(model.model.embed_tokens, "scales") else None
            zeros = mx.zeros(shape, dtype or model.model.embed_tokens.weight.dtype)
            cache.update_and_fetch(zeros, zeros)
        caches.append(BatchKVCache.merge(rows))
        mx.eval(caches[-1].state)

    def step(last: Any) -> Any:
        return mx.argmax(model(last[:, None], cache=caches)[:, -1], axis=-1)

    current = mx.zeros((short + 1,), mx.int32)
    for begin in (True, False):
        started = time.perf_counter()
        for _ in range(8 if begin else tokens):
            following = step(current)
            mx.async_eval(following)  # type: ignore[no-untyped-call]
            current.tolist()
            current = following
        mx.eval(current)
    batch = (time.perf_counter() - started) / tokens
    return {"prompt": read / first, "token": token * 1e3, "batch": batch * 1e3}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    run.checkpoint_options(parser)
    parser.add_argument("--words", type=int, default=32000)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--short", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=2)
    run.turn_options(parser, 15.0)
    parser.add_argument("--bare", type=int, metavar="TOKENS", help="only the loop, in this process")
    arguments = parser.parse_args()
    if arguments.bare:
        print(json.dumps(bare(str(arguments.model), arguments.bare, arguments.tokens, arguments.short)))
        return 0
    found = Figures()
    with run.checkpoint(arguments) as folder:
        prompt = 0
        for number in range(arguments.rounds):
            for tree in run.trees(arguments):
                with servers.ours(folder, tree=tree) as server:
                    asyncio.run(alone(server, 20, 2, 1))
                    servers.rested(server)
                    time.sleep(arguments.rest)
                    for part in range(2):
                        seed = 10_000 * (number + 1) + 1000 * part
                        one = asyncio.run(alone(server, arguments.words, arguments.tokens, seed))
                        prompt = one.prompt_tokens
                        asyncio.run(beside(server, arguments.words, 8, arguments.short, seed))
                        together = asyncio.run(beside(server, arguments.words, arguments.tokens, arguments.short, seed))
                        figures = {"prompt": prompt / one.first, "token": one.per_token * 1e3}
                        batch = statistics.median(each.per_token for each in together) * 1e3
                        found.note(f"{server.name}, {'first' if not part else 'again'}", figures | {"batch": batch})
            options = ["--bare", str(prompt), "--tokens", str(arguments.tokens), "--short", str(arguments.short)]
            found.note_process("mlx-lm", __file__, folder, *options)
    print(
        f"prompts of {prompt} tokens: prompt tokens/s, ms a token alone, ms a token with {arguments.short} short rows"
    )
    for name, medians in found.medians():
        print(f"{name:>20}: " + ", ".join(f"{median:.2f}" for median in medians.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
