"""Embedding throughput through the daemon, beside a peer in the same run: Sentence Transformers, or a bare MLX loop.

    python tests/bench/embed.py --model FOLDER --peer PYTHON [--rounds 3] [--seconds 3]
    python tests/bench/embed.py --model FOLDER --bare

FOLDER is an embedding model, PYTHON an interpreter with torch and sentence-transformers. Ours: so many clients, each
with one text in flight over HTTP. The peer's best case: as many texts in one call, without HTTP. Rounds alternate, for
the machine may be busy: only the ratios of one round mean something.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
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
POOL = 512


class Peer:
    """`python` None: the bare loop, in this interpreter."""

    def __init__(self, python: str | None, model: str) -> None:
        script = str(Path(__file__).with_name("bare_embed.py" if python is None else "sentence_peer.py"))
        self.name = "bare loop" if python is None else "sentence-transformers"
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([python or sys.executable, script, model], stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def run(self, texts: list[str], at_once: int, seconds: float) -> tuple[float, float]:
        """Texts a second, and the 95th percentile of a call in milliseconds."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(
            json.dumps({"texts": texts, "at_once": at_once, "seconds": seconds}), file=self._process.stdin, flush=True
        )
        found = json.loads(self._process.stdout.readline())
        return at_once * len(found["times"]) / found["seconds"], _p95(found["times"])

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


async def ours(url: str, model: str, texts: list[str], clients: int, seconds: float) -> tuple[float, float]:
    times: list[float] = []
    began = time.perf_counter()

    async def client(session: aiohttp.ClientSession, number: int) -> None:
        place = number
        while (started := time.perf_counter()) - began < seconds:
            body = {"model": model, "input": texts[place % len(texts)], "encoding_format": "base64"}
            async with session.post(f"{url}/v1/embeddings", json=body) as response:
                assert response.status == 200, await response.text()
                await response.read()
            times.append(time.perf_counter() - started)
            place += clients

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(client(session, number) for number in range(clients)))
    return len(times) / (time.perf_counter() - began), _p95(times)


def _p95(times: list[float]) -> float:
    return sorted(times)[int(0.95 * (len(times) - 1))] * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    peers = parser.add_mutually_exclusive_group(required=True)
    peers.add_argument("--peer")
    peers.add_argument("--bare", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("-c", "--clients", default="1,16,64")
    parser.add_argument("--words", default="14,240", help="of short and of long texts")
    options = parser.parse_args()
    source = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder, "models")
        name = Store.open(models).pull(options.model, kind="embedding").name.display()
        peer = Peer(options.peer, options.model)
        with LiveDaemon(models) as daemon:
            daemon.ready()
            _measure(daemon, peer, str(name), source, options)
        peer.close()


def _measure(daemon: LiveDaemon, peer: Peer, name: str, source: random.Random, options: Any) -> None:
    print(f"| texts | clients | mlx-serve texts/s | p95 ms | {peer.name} texts/s | p95 ms | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for words in map(int, options.words.split(",")):
        texts = [" ".join(source.choice(WORDS) for _ in range(words)) for _ in range(POOL)]
        for clients in map(int, options.clients.split(",")):
            rows: list[tuple[float, float, float, float]] = []
            for number in range(options.rounds + 1):
                mine = asyncio.run(ours(daemon.url, name, texts, clients, options.seconds))
                theirs = peer.run(texts, clients, options.seconds)
                if number:  # the first round warms both up
                    rows.append((*mine, *theirs))
            medians = [statistics.median(column) for column in zip(*rows, strict=True)]
            ratio = statistics.median(row[0] / row[2] for row in rows)
            spread = f"{min(row[0] / row[2] for row in rows):.2f} to {max(row[0] / row[2] for row in rows):.2f}"
            print(
                f"| {words} words | {clients} | {medians[0]:.0f} | {medians[1]:.0f} | {medians[2]:.0f} "
                f"| {medians[3]:.0f} | {ratio:.2f} ({spread}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
