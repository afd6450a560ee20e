"""What reusing prompts gives, and what it costs: bursts with one beginning, conversations, long prompts, misses.

    python tests/bench/prefix.py [--shape tiny | --model FOLDER] [--rounds 3] [--clients 32] [--shared 3000]
                                 [--long 24000] [--turns 20] [--parts memory costs disk writing peer bits]

Every figure is a time to the first token through HTTP, in milliseconds. Prompts are new in every round, so that only
what the round itself has sent is known. The part `peer` runs mlx_lm.server through the same burst. The part `bits` has
no times: it says how far logits are moved where a prompt comes back from files in 8 bits (`cache.prefix_bits`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import servers
from load import Stream, stream, text
from run import checkpoint, checkpoint_options

from mlx_serve.daemon import prefix_folder
from mlx_serve.daemon.engine.blas import prefer_openblas

NEW_WORDS = 50
TURN_WORDS = 200
STEP_WORDS = 500
TOKENS = 16
FOLLOWING = 64


async def together(server: servers.Server, prompts: Sequence[str], tokens: int = TOKENS) -> list[Stream]:
    """All at once."""
    timeout = aiohttp.ClientTimeout(total=3600)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        return list(await asyncio.gather(*(stream(session, server.url, server.model, one, tokens) for one in prompts)))


def first(server: servers.Server, *prompts: str, tokens: int = TOKENS) -> list[float]:
    """Times to the first token, sorted."""
    return sorted(1e3 * one.first for one in asyncio.run(together(server, prompts, tokens)))


def p95(times: Sequence[float]) -> float:
    return times[min(len(times) - 1, int(len(times) * 0.95))]


def burst(server: servers.Server, source: random.Random, arguments: argparse.Namespace) -> dict[str, float]:
    """Clients that arrive together with one beginning: known, not known, and the new words by themselves."""
    count, shared = arguments.clients, text(source, arguments.shared)
    alone = first(server, *(text(source, NEW_WORDS) for _ in range(count)))
    reading = first(server, text(source, arguments.shared + NEW_WORDS))
    cold = first(server, *(f"{shared} {text(source, NEW_WORDS)}" for _ in range(count)))
    warm = first(server, *(f"{shared} {text(source, NEW_WORDS)}" for _ in range(count)))
    return {
        "new words alone p95": p95(alone),
        "one whole prompt": reading[0],
        "cold p50": statistics.median(cold),
        "cold p95": p95(cold),
        "warm p50": statistics.median(warm),
        "warm p95": p95(warm),
    }


def long(server: servers.Server, source: random.Random, arguments: argparse.Namespace) -> dict[str, float]:
    """A long prompt, the same with some more, and as much as that more by itself."""
    beginning, more = text(source, arguments.long), text(source, STEP_WORDS)
    return {
        "long": first(server, beginning)[0],
        "long and 500": first(server, f"{beginning} {more}")[0],
        "500 alone": first(server, text(source, STEP_WORDS))[0],
        "long again": first(server, beginning)[0],
    }


def conversation(server: servers.Server, source: random.Random, turns: int) -> dict[str, float]:
    """Each turn is all before it and some more words."""
    said, times = "", []
    for _ in range(turns):
        said = f"{said} {text(source, TURN_WORDS)}".strip()
        times.append(first(server, said)[0])
    return {"first turn": times[0], "turn 2": times[1], "last turn": times[-1]}


def on_disk(server: servers.Server) -> int:
    """Bytes in files, once no more are written."""
    seen = -1
    while True:
        (row,) = json.loads(servers.command(server, "ps", "--json").stdout)["models"]
        if (now := int(row["prefix_disk"])) == seen:
            return now
        seen = now
        time.sleep(1)


def restarted(folder: Path, source: random.Random, arguments: argparse.Namespace) -> dict[str, float]:
    """A long prompt, and after a restart of the daemon the same with some more; that more by itself, and the time in
    which a plain program reads the files."""
    beginning, more = text(source, arguments.long), text(source, STEP_WORDS)
    with tempfile.TemporaryDirectory(prefix="mlx-serve-bench-") as home:
        with servers.ours(folder, home=home) as server:
            first(server, text(source, 5))
            long = first(server, beginning)[0]
            held = on_disk(server)
        began = time.perf_counter()
        for path in prefix_folder.root(Path(home)).glob("*/*"):
            path.read_bytes()
        reading = 1e3 * (time.perf_counter() - began)
        with servers.ours(None, home=home) as server:
            first(server, text(source, 5))  # which loads the model
            alone = first(server, text(source, STEP_WORDS))[0]
            after = first(server, f"{beginning} {more}")[0]
            again = first(server, f"{beginning} {text(source, STEP_WORDS)}")[0]
    return {
        "long": long,
        "long and 500 after a restart": after,
        "another 500, from memory": again,
        "500 alone": alone,
        "reading the files": reading,
        "MB on disk": held / 1e6,
    }


def behind(server: servers.Server, source: random.Random, words: int) -> dict[str, float]:
    """Milliseconds a token of eight streams while the blocks of a long prompt are on their way to disk."""
    first(server, text(source, words), tokens=1)
    return decoding(server, source)


def misses(server: servers.Server, source: random.Random, words: int) -> dict[str, float]:
    """Prompts that have nothing in common with anything."""
    return {"miss": statistics.median(first(server, text(source, words))[0] for _ in range(5))}


def decoding(server: servers.Server, source: random.Random) -> dict[str, float]:
    """Milliseconds a token of eight streams that answer at length, all new."""
    done = asyncio.run(together(server, [text(source, 100) for _ in range(8)], tokens=600))
    return {"ms a token of 8": 1e3 * statistics.median(one.per_token for one in done)}


Figures = Iterator[tuple[str, dict[str, float]]]


def rounds(seeds: Iterator[int], arguments: argparse.Namespace) -> Iterator[tuple[str, random.Random]]:
    """What the names of a round's figures begin with, and where its words come from."""
    for number in range(arguments.rounds + 1):
        yield "" if number else "warming up, ", random.Random(next(seeds))


def from_memory(folder: Path, seeds: Iterator[int], arguments: argparse.Namespace) -> Figures:
    with servers.ours(folder) as server:
        for label, source in rounds(seeds, arguments):
            yield f"{label}burst", burst(server, source, arguments)
            if arguments.long:
                yield f"{label}long", long(server, source, arguments)
            if arguments.turns > 1:
                yield f"{label}conversation", conversation(server, source, arguments.turns)


def costs(folder: Path, seeds: Iterator[int], arguments: argparse.Namespace) -> Figures:
    off = {"MLX_SERVE_CACHE_PREFIX_CACHE_MB": "0"}
    with servers.ours(folder) as on, servers.ours(folder, environ=off) as without:
        for label, source in rounds(seeds, arguments):
            for name, server in (("on", on), ("off", without)):
                figures = misses(server, source, arguments.shared) | decoding(server, source)
                yield f"{label}reuse {name}", figures


def from_disk(folder: Path, seeds: Iterator[int], arguments: argparse.Namespace) -> Figures:
    for label, source in rounds(seeds, arguments):
        yield f"{label}restart", restarted(folder, source, arguments)


def while_writing(folder: Path, seeds: Iterator[int], arguments: argparse.Namespace) -> Figures:
    off = {"MLX_SERVE_CACHE_PREFIX_DISK_MB": "0"}
    with servers.ours(folder) as on, servers.ours(folder, environ=off) as without:
        for label, source in rounds(seeds, arguments):
            for name, server in (("on", on), ("off", without)):
                yield f"{label}disk {name}", behind(server, source, arguments.long // 3)


def of_the_peer(folder: Path, seeds: Iterator[int], arguments: argparse.Namespace) -> Figures:
    with servers.peer(folder) as server:
        for label, source in rounds(seeds, arguments):
            yield f"{label}peer", burst(server, source, arguments)


def in_eight_bits(folder: Path, seeds: Iterator[int], arguments: argparse.Namespace) -> Figures:
    """Of 64 tokens each after the beginnings of other documents of ours, in this process."""
    prefer_openblas()
    from mlx_serve.daemon.engine.model.load import load
    from mlx_serve.daemon.engine.prefix.disk.logit_change import measure
    from mlx_serve.daemon.protocol import Load

    request = Load(path=str(folder), name="bench", kind="llm", max_batch=1, prefill_tokens_per_step=512)
    model, loaded = load(request)
    print(f"computed in {loaded.precision or 'the precision of the files'}", flush=True)
    documents = sorted(Path(__file__).parents[2].glob("docs/*.md"))
    for length in (256, 1024):
        if length + FOLLOWING > model.context_length:
            break
        read = 0
        for document in documents:
            tokens = [one for one in model.tokenizer(document.read_text())["input_ids"] if one < model.rows]
            if read < arguments.rounds and len(tokens) >= length + FOLLOWING:
                read += 1
                change = measure(model.network, tokens[: length + FOLLOWING], FOLLOWING)
                if change is None:
                    raise RuntimeError("nothing of this model is packed")
                yield (
                    f"8 bits, {length} tokens",
                    {
                        "most": change.most,
                        "mean": change.mean,
                        "KL": change.divergence,
                        "other likeliest of 64": change.others,
                    },
                )


PARTS = {
    "memory": from_memory,
    "costs": costs,
    "disk": from_disk,
    "writing": while_writing,
    "peer": of_the_peer,
    "bits": in_eight_bits,
}


def shortened(value: float) -> float:
    """To a tenth, or three digits of what is less than one."""
    return round(value, 1) if abs(value) >= 1 else float(f"{value:.3g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    checkpoint_options(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--shared", type=int, default=3000)
    parser.add_argument("--long", type=int, default=24000)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["memory", "costs", "disk", "writing"])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with checkpoint(arguments) as folder:
        results: dict[str, list[dict[str, float]]] = {}
        begun = time.monotonic()

        def note(name: str, figures: dict[str, float]) -> None:
            results.setdefault(name, []).append(figures)
            shown = ", ".join(f"{key} {shortened(value)}" for key, value in figures.items())
            print(f"{time.monotonic() - begun:6.0f} s  {name}: {shown}", flush=True)

        seeds = iter(range(1000))
        for part in arguments.parts:
            for name, figures in PARTS[part](folder, seeds, arguments):
                note(name, figures)
        summary: dict[str, dict[str, Any]] = {
            name: {key: shortened(statistics.median(one[key] for one in rounds)) for key in rounds[0]}
            for name, rounds in results.items()
            if not name.startswith("warming up")
        }
        print(json.dumps(summary) if arguments.json else json.dumps(summary, indent=2))


if __name__ == "__main__":
    main()
