"""The pace of blocks to disk and back, without a model: random columns of a model's shape, and the files read plainly.

usage: disk_blocks.py [--layers 28] [--heads 8] [--width 128] [--dtype float16] [--tokens 6144] [--rounds 3] [--bits 8]
                      [--disk MB/s] [--whole]

Each round writes all blocks of one text, then a fresh reader takes them into memory, and a plain program reads the same
files in the same round. `held up`: the longest that one call in a step kept MLX's thread while others decode, and what
it computed itself in that time; a busy machine makes the first longer. `processor`: seconds of all threads. Megabytes
are those in memory. `--whole`: the state of all layers in one file, as of models whose caches cannot be cut.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import ChunkedKVCache, KVCache

from mlx_serve.daemon.engine.prefix.chain import BLOCK, Chain
from mlx_serve.daemon.engine.prefix.disk.block_writer import BlockWriter
from mlx_serve.daemon.engine.prefix.disk.cache_layout import Layout
from mlx_serve.daemon.engine.prefix.disk.disk_store import DiskStore
from mlx_serve.daemon.engine.prefix.disk.reading.block_reader import BlockReader
from mlx_serve.daemon.engine.prefix.disk.reading.read_back import ReadBack
from mlx_serve.daemon.engine.prefix.disk.turn_store import TurnStore
from mlx_serve.daemon.engine.prefix.disk.write_behind import WriteBehind
from mlx_serve.daemon.engine.prefix.layers import Parts, arrays
from mlx_serve.daemon.engine.prefix.prefix_cache import PrefixCache
from mlx_serve.daemon.engine.prefix.whole_state import WholeState

PLENTY = 1 << 40


class SlowDisk:
    """Reading as from a disk of so many bytes a second, whoever reads, in pieces of a quarter megabyte."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free = 0.0
        self._lock = Lock()
        self._readv = os.readv
        os.readv = self.readv

    def readv(self, descriptor: int, rows: Any) -> int:
        count = self._readv(descriptor, rows)
        with self._lock:
            self._free = max(self._free, time.perf_counter()) + count / self._rate
            left = self._free - time.perf_counter()
        time.sleep(max(0.0, left - 0.0005))
        return count


@dataclass(frozen=True)
class Round:
    """Seconds. `plain`: a program that reads the files of `stored` bytes."""

    writing: float
    writing_cpu: float
    written_step: float
    plain: float
    plain_cpu: float
    taken: float
    taken_cpu: float
    step: float
    step_cpu: float
    stored: int


def columns(arguments: argparse.Namespace) -> Parts:
    shape, dtype = (1, arguments.heads, BLOCK, arguments.width), getattr(mx, arguments.dtype)
    parts = tuple((mx.random.normal(shape, dtype), mx.random.normal(shape, dtype)) for _ in range(arguments.layers))
    mx.eval([array for pair in parts for array in pair])
    return parts


def state(arguments: argparse.Namespace) -> WholeState:
    """Of all tokens, in caches that cannot be cut."""
    shape, dtype = (1, arguments.heads, arguments.tokens, arguments.width), getattr(mx, arguments.dtype)
    caches = [ChunkedKVCache(arguments.tokens) for _ in range(arguments.layers)]
    for cache in caches:
        cache.update_and_fetch(mx.random.normal(shape, dtype), mx.random.normal(shape, dtype))
    mx.eval([array for cache in caches for array in (cache.keys, cache.values)])
    return WholeState(caches, arguments.tokens)


def memory(arguments: argparse.Namespace) -> PrefixCache:
    return PrefixCache(PLENTY, needs_snapshots=arguments.whole, whole_turns=arguments.whole)


def written(
    store: DiskStore, chain: Chain, layout: Layout, arguments: argparse.Namespace
) -> tuple[float, float, float]:
    """Seconds until all is in files, those of the processor, and of the longest call on this thread."""
    kept = memory(arguments)
    writer = BlockWriter(store, print)
    stream = mx.new_stream(mx.cpu) if mx.default_device() == mx.Device(mx.DeviceType.cpu) else None
    behind = WriteBehind(kept, writer, store.key, layout, stream)
    for start in range(0, arguments.tokens, BLOCK) if not arguments.whole else ():
        kept.add(chain, start, start + BLOCK, columns(arguments))
    if arguments.whole:
        kept.add_run(chain, 0, arguments.tokens, (), (state(arguments),))
    began, spent, longest = time.perf_counter(), time.process_time(), 0.0
    while behind.waiting:
        call = time.thread_time()
        behind.hand_over(computing=True)
        longest = max(longest, time.thread_time() - call)
        behind.hand_over(computing=False)
        if behind.blocked:
            behind.wait(0.02)
    behind.finish(600)
    return time.perf_counter() - began, time.process_time() - spent, longest


def taken_in(
    store: DiskStore, chain: Chain, layout: Layout, arguments: argparse.Namespace, *, decoding: bool
) -> tuple[float, float, float, float]:
    """Seconds until all of it is in memory, those of the processor, of the longest call on this thread, and what that
    thread itself computed in one. `decoding`: beside steps of ten milliseconds."""
    kept = memory(arguments)
    back = ReadBack(kept, BlockReader(store), layout)
    began, spent, longest, computed = time.perf_counter(), time.process_time(), 0.0, 0.0
    back.begin(1, chain, arguments.tokens)
    more = True
    while more:
        call, here = time.perf_counter(), time.thread_time()
        more = bool(back.goes_on(1))
        longest, computed = max(longest, time.perf_counter() - call), max(computed, time.thread_time() - here)
        back.after_step(decoding=decoding)
        if decoding:
            time.sleep(0.01)
        elif more:
            back.wait(0.02)
    match = kept.find(chain, arguments.tokens)
    mx.eval([array for parts in match.parts() for array in arrays(parts, match.snapshots)])
    seconds, processor = time.perf_counter() - began, time.process_time() - spent
    back.close()
    if match.length != arguments.tokens:
        raise RuntimeError(f"only {match.length} of {arguments.tokens} tokens came back")
    return seconds, processor, longest, computed


def plainly(store: DiskStore) -> tuple[float, float]:
    began, spent = time.perf_counter(), time.process_time()
    piece = bytearray(1 << 18)
    for path in store.folder.iterdir():
        with open(path, "rb", buffering=0) as file:
            while os.readv(file.fileno(), [piece]):
                pass
    return time.perf_counter() - began, time.process_time() - spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("layers", 28), ("heads", 8), ("width", 128), ("tokens", 6144), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--dtype", default="float16", choices=("bfloat16", "float16", "float32"))
    parser.add_argument("--bits", type=int, choices=(8,))
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--disk", type=float, help="MB/s of a disk that is simulated; without it the page cache reads")
    arguments = parser.parse_args()
    if arguments.disk:
        SlowDisk(1e6 * arguments.disk)
    layout = layout_of(arguments)
    width = arguments.width * getattr(mx, arguments.dtype).size
    megabytes = 2 * arguments.layers * arguments.heads * arguments.tokens * width / 1e6
    rounds: list[Round] = []
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory(prefix="mlx-serve-bench-") as folder:
            root = Path(folder) / "prompts"
            store = DiskStore(root, "key", PLENTY, packed=arguments.bits is not None)
            if arguments.whole:
                store = TurnStore(root, "key", PLENTY)
            chain = Chain([number] * arguments.tokens)
            writing = written(store, chain, layout, arguments)
            for _ in range(2):
                plain = plainly(store)
                taken = taken_in(store, chain, layout, arguments, decoding=False)
                _, _, *step = taken_in(store, chain, layout, arguments, decoding=True)
                rounds.append(Round(*writing, *plain, *taken[:2], *step, store.nbytes))
                print(shown(rounds[-1], megabytes), flush=True)
    medians = Round(*(statistics.median(one) for one in zip(*map(astuple, rounds), strict=True)))
    print(f"medians: {shown(medians, megabytes)}")


def layout_of(arguments: argparse.Namespace) -> Layout:
    shape, dtype = (1, arguments.heads, 1, arguments.width), getattr(mx, arguments.dtype)
    if arguments.whole:
        return Layout.of_state(state(argparse.Namespace(**{**vars(arguments), "tokens": BLOCK})).described())
    caches = [KVCache() for _ in range(arguments.layers)]
    for cache in caches:
        cache.update_and_fetch(mx.zeros(shape, dtype), mx.zeros(shape, dtype))
    layout = Layout.of(caches)
    assert layout is not None
    return layout


def shown(one: Round, megabytes: float) -> str:
    return (
        f"write {megabytes / one.writing:.0f} MB/s (processor {one.writing_cpu:.2f} s), "
        f"held up {1e3 * one.written_step:.1f} ms; "
        f"read {one.stored / 1e6:.0f} MB plainly {one.stored / 1e6 / one.plain:.0f} MB/s ({one.plain_cpu:.2f} s); "
        f"take in {megabytes:.0f} MB: {megabytes / one.taken:.0f} MB/s ({one.taken_cpu:.2f} s), "
        f"{one.taken / one.plain:.2f} times the reading, held up {1e3 * one.step:.1f} ms ({1e3 * one.step_cpu:.1f})"
    )


if __name__ == "__main__":
    main()
