"""What sampling settings, stop strings, log-probabilities and JSON schemas cost the batch, through HTTP.

usage: settings.py [--shape tiny | --model FOLDER] [-c 32] [--rounds 3] [--per 2] [--max-tokens 128]
Each way has its turn in each round on one server; ratios are to the greedy requests of the same round.
`mixed`: of every four requests one asks for something, in turns temperature with top_k and min_p, stop strings,
log-probabilities with the five likeliest, and penalties; `schema`: all of them ask for a list of objects.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import run
import servers
from load import GREEDY, Level, level

ASKED: tuple[Mapping[str, Any], ...] = (
    {"temperature": 0.8, "top_k": 40, "min_p": 0.02, "seed": 1},
    {"temperature": 0, "stop": ["never said, first", "never said, second"]},
    {"temperature": 0, "logprobs": True, "top_logprobs": 5},
    {"temperature": 0.7, "frequency_penalty": 0.5, "presence_penalty": 0.2, "seed": 2},
)
_MEMBERS = {"name": {"type": "string"}, "count": {"type": "integer"}, "known": {"type": "boolean"}}
_ITEM = {"type": "object", "properties": _MEMBERS, "required": list(_MEMBERS), "additionalProperties": False}
SCHEMA: Mapping[str, Any] = {
    "temperature": 0,
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "list", "schema": {"type": "array", "items": _ITEM, "minItems": 200}, "strict": True},
    },
}
WAYS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "greedy": [GREEDY],
    "top_p": [{"temperature": 1, "top_p": 0.95}],
    "mixed": [one for asked in ASKED for one in (asked, GREEDY, GREEDY, GREEDY)],
    "schema": [SCHEMA],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    run.checkpoint_options(parser)
    parser.add_argument("-c", "--streams", default="32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per", type=int, default=2, help="requests per stream in a round")
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--prompt-words", type=int, default=200)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    arguments = parser.parse_args()
    streams = [int(count) for count in arguments.streams.split(",")]
    found: dict[tuple[int, str], list[Level]] = {}

    def load(server: servers.Server, count: int, way: str, seed: int, per: int) -> Level:
        return asyncio.run(
            level(
                server.url,
                server.model,
                count,
                requests=count * per,
                prompt_words=arguments.prompt_words,
                max_tokens=arguments.max_tokens,
                seed=seed,
                sampling=WAYS[way],
            )
        )

    with run.checkpoint(arguments) as folder, servers.ours(folder, max_batch=max(32, *streams)) as server:
        for count in streams:
            for way in arguments.ways:
                warm = load(server, count, way, count, 1)
                if warm.errors:
                    raise RuntimeError(f"{way} at {count} streams: {warm.error}")
        print(servers.rested(server), flush=True)
        for number in range(arguments.rounds):
            for count in streams:
                for way in arguments.ways:
                    seed = 1000 * (number + 1) + count + 100_000 * arguments.ways.index(way)  # no prompt is known
                    one = load(server, count, way, seed, arguments.per)
                    found.setdefault((count, way), []).append(one)
                    print(
                        f"round {number + 1}, {count:>3} streams, {way:>6}: {one.tok_s:>9.1f} tok/s, "
                        f"{one.tpot_ms:.2f} ms a token, first token {one.ttft_ms:.0f} ms, {one.tokens} tokens, "
                        f"{one.errors} errors",
                        flush=True,
                    )
    first = arguments.ways[0]
    for (count, way), levels in found.items():
        pairs = list(zip(levels, found[count, first], strict=True))
        rate = statistics.median(one.tok_s / base.tok_s for one, base in pairs)
        token = statistics.median(one.tpot_ms / base.tpot_ms for one, base in pairs)
        print(f"{count:>3} streams, {way:>6}: {rate:.2f} of the tokens/s of {first}, {token:.2f} of its time a token")
    return 1 if any(one.errors for levels in found.values() for one in levels) else 0


if __name__ == "__main__":
    sys.exit(main())
