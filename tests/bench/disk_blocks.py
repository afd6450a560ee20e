"""The pace of blocks to disk and back, without a model: random columns of a model's shape, and the files read plainly.

usage: disk_blocks.py [--layers 28] [--heads 8] [--width 128] [--tokens 6144] [--rounds 3]

Each round writes all blocks of one text, then a fresh reader takes them into memory, and a plain program reads the same
files in the same round. `held up`: the most that MLX's thread itself computes in one step while others decode.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import mlx.core as mx
from mlx_lm.models.cache import KVCache

from mlx_serve.daemon.engine.prefix.chain import BLOCK, Chain
from mlx_serve.daemon.engine.prefix.disk.block_reader import BlockReader
from mlx_serve.daemon.engine.prefix.disk.block_writer import BlockWriter
from mlx_serve.daemon.engine.prefix.disk.cache_layout import Layout
from mlx_serve.daemon.engine.prefix.disk.disk_store import DiskStore
from mlx_serve.daemon.engine.prefix.disk.read_back import ReadBack
from mlx_serve.daemon.engine.prefix.disk.write_behind import WriteBehind
from mlx_serve.daemon.engine.prefix.layers import Parts
from mlx_serve.daemon.engine.prefix.prefix_cache import PrefixCache

PLENTY = 1 << 40


def columns(arguments: argparse.Namespace) -> Parts:
    shape = (1, arguments.heads, BLOCK, arguments.width)
    parts = tuple(
        (mx.random.normal(shape, mx.float16), mx.random.normal(shape, mx.float16)) for _ in range(arguments.layers)
    )
    mx.eval([array for pair in parts for array in pair])
    return parts


def written(store: DiskStore, chain: Chain, arguments: argparse.Namespace) -> tuple[float, float]:
    """Seconds until all is in files, and the longest single call of them on this thread."""
    kept = PrefixCache(PLENTY, needs_snapshots=False)
    writer = BlockWriter(store, print)
    stream = mx.new_stream(mx.cpu) if mx.default_device() == mx.Device(mx.DeviceType.cpu) else None
    behind = WriteBehind(kept, writer, store.key, stream)
    for start in range(0, arguments.tokens, BLOCK):
        kept.add(chain, start, start + BLOCK, columns(arguments))
    began, longest = time.perf_counter(), 0.0
    while behind.waiting:
        call = time.thread_time()
        behind.hand_over(decoding=True)
        longest = max(longest, time.thread_time() - call)
        behind.hand_over(decoding=False)
        if behind.blocked:
            behind.wait(0.02)
    behind.finish(600)
    return time.perf_counter() - began, longest


def taken_in(store: DiskStore, chain: Chain, layout: Layout, arguments: argparse.Namespace) -> float:
    """Seconds until all of it is in memory."""
    kept = PrefixCache(PLENTY, needs_snapshots=False)
    back = ReadBack(kept, BlockReader(store), layout)
    began = time.perf_counter()
    back.begin(1, chain, arguments.tokens)
    while back.goes_on(1):
        back.wait(0.02)
    match = kept.find(chain, arguments.tokens)
    mx.eval([array for parts in match.parts() for pair in parts if pair is not None for array in pair])
    seconds = time.perf_counter() - began
    back.close()
    if match.length != arguments.tokens:
        raise RuntimeError(f"only {match.length} of {arguments.tokens} tokens came back")
    return seconds


def plainly(store: DiskStore) -> float:
    began = time.perf_counter()
    for path in store.folder.iterdir():
        path.read_bytes()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("layers", 28), ("heads", 8), ("width", 128), ("tokens", 6144), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    caches = [KVCache() for _ in range(arguments.layers)]
    for cache in caches:
        cache.update_and_fetch(*(mx.zeros((1, arguments.heads, 1, arguments.width), mx.float16) for _ in range(2)))
    layout = Layout.of(caches)
    assert layout is not None
    rounds: list[tuple[float, float, float, float]] = []
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory(prefix="mlx-serve-bench-") as folder:
            store = DiskStore(Path(folder) / "prompts", "key", PLENTY)
            chain = Chain([number] * arguments.tokens)
            writing, longest = written(store, chain, arguments)
            first = taken_in(store, chain, layout, arguments)
            plain = plainly(store)
            again = taken_in(store, chain, layout, arguments)
            rounds.append((writing, longest, plain, statistics.mean((first, again))))
            megabytes = store.nbytes / 1e6
            print(
                f"{megabytes:.0f} MB: written in {writing:.2f} s, held up {1e3 * longest:.1f} ms, read plainly in "
                f"{plain:.2f} s, taken in in {first:.2f} and {again:.2f} s"
            )
    writing, longest, plain, taken = (statistics.median(one) for one in zip(*rounds, strict=True))
    print(
        f"medians: write {megabytes / writing:.0f} MB/s, held up {1e3 * longest:.1f} ms, "
        f"plain {megabytes / plain:.0f} MB/s, taken in {megabytes / taken:.0f} MB/s, {taken / plain:.2f} times"
    )


if __name__ == "__main__":
    main()
