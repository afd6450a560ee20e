"""Measures the daemon against mlx_lm.server, and both against MLX's bare decode loop, on one random-weight checkpoint.

usage: run.py [--shape tiny | --model FOLDER] [-c 1,8,32] [--rounds 2] [--max-tokens 64] [--apart] [--against CHECKOUT]
Both servers stay up and are loaded in turn (A B A B), so that a machine that slows down slows both. With --apart only
one is up at a time (again A B A B): on a GPU, two processes slow each other down even while one of them waits.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import math
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ceiling
import openblas
import servers
from load import Level, level
from make_model import SHAPES

from mlx_serve import __version__


def checkpoint_options(parser: argparse.ArgumentParser) -> None:
    """What `checkpoint` asks of a command line."""
    parser.add_argument("--model", type=Path, help="a checkpoint folder instead of a made one")
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--bits", type=int, choices=(4, 8))
    parser.add_argument("--dtype", default="float32", choices=("bfloat16", "float16", "float32"))
    parser.add_argument("--merged", action="store_true", help="a made one has as many merges as real ones")


def turn_options(parser: argparse.ArgumentParser, rest: float) -> None:
    """Of benches that measure one daemon after the other: what `trees` asks, and `rest` where nothing else is said."""
    parser.add_argument("--rest", type=float, default=rest, help="seconds of rest after a load: a GPU's plans are made")
    parser.add_argument("--against", type=Path, help="another checkout, whose daemon is measured in turns")


def trees(arguments: argparse.Namespace) -> list[Path | None]:
    """As `servers.ours` takes them: this checkout, and the other one where it is given."""
    return [None] if arguments.against is None else [None, arguments.against]


@contextlib.contextmanager
def checkpoint(arguments: argparse.Namespace) -> Iterator[Path]:
    """The folder that was given, or a checkpoint made for this run."""
    if arguments.model is not None:
        yield arguments.model.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="mlx-serve-bench-model-") as folder:
        # In a process of its own: a process that has once computed on a GPU slows the servers down by being there.
        make = [sys.executable, str(Path(__file__).with_name("make_model.py")), folder, arguments.shape]
        make += ["--dtype", arguments.dtype, *(["--bits", str(arguments.bits)] if arguments.bits else [])]
        make += ["--merged"] * arguments.merged
        subprocess.run(make, check=True)
        yield Path(folder)


def load(server: servers.Server, streams: int, arguments: argparse.Namespace, seed: int) -> Level:
    return asyncio.run(
        level(
            server.url,
            server.model,
            streams,
            requests=streams * arguments.per,
            prompt_words=arguments.prompt_words,
            max_tokens=arguments.max_tokens,
            seed=seed,
            sampling=[{"temperature": arguments.temperature, "top_p": arguments.top_p}],
        )
    )


NOTHING = {"tok_s": math.nan, "decode_tok_s": math.nan, "step_ms": math.nan}
"""For a loop that did not run."""

Rounds = dict[str, dict[int, list[Level]]]


def warm_up(server: servers.Server, streams: list[int], arguments: argparse.Namespace) -> None:
    """Every level once. Raises RuntimeError when a request fails."""
    print(f"{server.name}: warming up", flush=True)
    for count in streams:
        warm = load(server, count, argparse.Namespace(**vars(arguments) | {"per": 1}), seed=count)
        if warm.errors:
            raise RuntimeError(f"{server.name} at {count} streams: {warm.error}")
    if server.name != "mlx_lm.server":
        print(f"{server.name}: {servers.rested(server)}", flush=True)


def measure(server: servers.Server, count: int, number: int, arguments: argparse.Namespace, rounds: Rounds) -> None:
    before = servers.processor_seconds(server)
    result = load(server, count, arguments, seed=1000 * (number + 1) + count)
    used = servers.processor_seconds(server)
    costs = {kind: (used[kind] - before.get(kind, 0.0)) / max(1, result.tokens) * 1e3 for kind in used}
    rounds.setdefault(server.name, {}).setdefault(count, []).append(result)
    print(
        f"round {number + 1}, {count:>3} streams, {server.name:>13}: {result.tok_s:>9.1f} tok/s, "
        f"first token {result.ttft_ms:.0f} ms, {result.errors} errors, of the processor, ms a token: "
        f"{', '.join(f'{kind} {cost:.2f}' for kind, cost in costs.items())}",
        flush=True,
    )


def medians(levels: list[Level]) -> dict[str, Any]:
    fields = ("tok_s", "ttft_ms", "ttft_p95_ms", "tpot_ms")
    found = {field: round(statistics.median(getattr(one, field) for one in levels), 2) for field in fields}
    errors = [one.error for one in levels if one.error]
    return found | {"errors": sum(one.errors for one in levels), "error": errors[0] if errors else None}


def table(streams: list[int], results: dict[str, dict[int, dict[str, Any]]], bare: dict[int, dict[str, Any]]) -> str:
    """Per number of streams: tokens per second, the ratios, time to first token and time per token."""
    ours, (peer,) = results["mlx-serve"], results.keys() - {"mlx-serve"}
    theirs, name = results[peer], peer.removesuffix(".server")
    lines = [
        f"{'':>7} | {'new tokens/s':^32} | {'mlx-serve to':^22} | {'first token, ms':^19} | {'per token, ms':^25}",
        f"{'streams':>7} | {'mlx-serve':>10} {name:>10} {'bare':>10} | {name:>7} {'bare':>6} {'decode':>7} | "
        f"{'mlx-serve':>10} {name:>8} | {'mlx-serve':>9} {name:>7} {'bare':>7}",
    ]
    for count in streams:
        mine, other, loop = ours[count], theirs[count], bare.get(count, NOTHING)
        against = f"{mine['tok_s'] / other['tok_s']:.2f}" if other["tok_s"] else "-"
        lines.append(
            f"{count:>7} | {mine['tok_s']:>10.1f} {other['tok_s']:>10.1f} {loop['tok_s']:>10.1f} | {against:>7} "
            f"{mine['tok_s'] / loop['tok_s']:>6.2f} {mine['tok_s'] / loop['decode_tok_s']:>7.2f} | "
            f"{mine['ttft_ms']:>10.1f} {other['ttft_ms']:>8.1f} | "
            f"{mine['tpot_ms']:>9.2f} {other['tpot_ms']:>7.2f} {loop['step_ms']:>7.2f}"
        )
    lines.append("bare: MLX's decode loop after one prefill, no server; decode: the same without its prefill")
    for name, levels in results.items():
        lines += [
            f"{name}, {count} streams: {one['errors']} errors, first: {one['error']}"
            for count, one in levels.items()
            if one["errors"]
        ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    checkpoint_options(parser)
    parser.add_argument("-c", "--streams", default="1,8,32")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--per", type=int, default=2, help="requests per stream in a round")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--prompt-words", type=int, default=200)
    parser.add_argument("--apart", action="store_true", help="one server at a time, as a GPU wants it")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--against", type=Path, help="another checkout of this project in place of mlx_lm.server")
    parser.add_argument("--no-bare", action="store_true", help="no bare loop: it takes minutes with bfloat16 on a CPU")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    arguments = parser.parse_args()
    streams = [int(count) for count in arguments.streams.split(",")]
    batch = max(32, *streams)

    # Our own version from the package itself: a checkout on the path has no metadata.
    versions = {"mlx-serve": __version__, **{name: version(name) for name in ("mlx", "mlx-lm")}}
    print(f"{platform.platform()}, {', '.join(f'{name} {number}' for name, number in versions.items())}")
    blas = openblas.find()
    if sys.platform.startswith("linux"):
        found = f"{blas}, for both servers and the bare loop" if blas else "none found: prefill on the CPU is slow"
        print(f"OpenBLAS: {found}")
    rounds: Rounds = {}
    with checkpoint(arguments) as folder:
        makers = (
            lambda: servers.ours(folder, max_batch=batch),
            lambda: (
                servers.peer(folder, max_batch=batch)
                if arguments.against is None
                else servers.ours(folder, max_batch=batch, tree=arguments.against)
            ),
        )
        if arguments.apart:
            for number in range(arguments.rounds):
                for make in makers:
                    with make() as server:
                        warm_up(server, streams, arguments)
                        for count in streams:
                            measure(server, count, number, arguments, rounds)
        else:
            with makers[0]() as first, makers[1]() as second:
                for server in (first, second):
                    warm_up(server, streams, arguments)
                for number in range(arguments.rounds):
                    for count in streams:
                        with servers.halted(second):
                            measure(first, count, number, arguments, rounds)
                        measure(second, count, number, arguments, rounds)
        prompt_tokens = round(rounds["mlx-serve"][streams[0]][0].prompt_tokens)
        bare: dict[int, dict[str, Any]] = {}
        if not arguments.no_bare:
            print("bare decode loop", flush=True)
            bare = ceiling.run(folder, arguments.streams, prompt_tokens, arguments.max_tokens)
    results = {name: {count: medians(levels) for count, levels in found.items()} for name, found in rounds.items()}
    print(
        f"\nmedians of {arguments.rounds} rounds, prompts of {prompt_tokens} tokens, {arguments.max_tokens} new tokens"
    )
    print(table(streams, results, bare))
    if arguments.json:
        everything = {
            "platform": platform.platform(),
            "versions": versions,
            "openblas": blas,
            "settings": {key: str(value) for key, value in vars(arguments).items()},
            "rounds": {
                name: {count: [dataclasses.asdict(one) for one in levels] for count, levels in found.items()}
                for name, found in rounds.items()
            },
            "medians": results,
            "bare": bare,
        }
        arguments.json.write_text(json.dumps(everything, indent=1))
    return 1 if any(one["errors"] for levels in results.values() for one in levels.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
