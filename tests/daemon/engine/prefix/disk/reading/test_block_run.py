"""Neighbouring blocks come from the disk together, or as many of them as are what was looked for."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import cast

import mlx.core as mx
import pytest
from mlx_lm.models.cache import KVCache
from support.small_blocks import blocks_of

from mlx_serve.daemon.engine.prefix.chain import Chain
from mlx_serve.daemon.engine.prefix.disk.block_bytes import to_file
from mlx_serve.daemon.engine.prefix.disk.block_file import BlockFile, Room
from mlx_serve.daemon.engine.prefix.disk.cache_layout import Layout
from mlx_serve.daemon.engine.prefix.disk.disk_store import DiskStore
from mlx_serve.daemon.engine.prefix.disk.reading.block_reader import BlockReader, Found
from mlx_serve.daemon.engine.prefix.disk.reading.block_run import _LATER, BlockRun
from mlx_serve.daemon.engine.prefix.disk.reading.landing import Landing
from mlx_serve.daemon.engine.prefix.prefix_cache import PrefixCache

SIZE = 4


class Reader:
    """Reads a file when the test says so."""

    def __init__(self, store: DiskStore) -> None:
        self.store = store
        self.asked: list[tuple[bytes, Room, Future[BlockFile | None]]] = []

    def read(self, name: bytes, room: Room) -> Future[BlockFile | None]:
        self.asked.append((name, room, Future()))
        return self.asked[-1][2]

    def answer(self, place: int) -> None:
        name, room, future = self.asked[place]
        future.set_result(self.store.read(name, room))


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(DiskStore(tmp_path / "prompts", "key", 1 << 30))


@pytest.fixture
def run(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> BlockRun:
    """Three blocks of one layer, whose keys are 1, 2 and 3."""
    blocks_of(SIZE, monkeypatch)
    cache = KVCache()
    cache.update_and_fetch(mx.zeros((1, 2, 1, 4)), mx.zeros((1, 2, 1, 4)))
    layout = Layout.of([cache])
    assert layout is not None
    kept, chain, found = PrefixCache(1 << 30, needs_snapshots=False), Chain(list(range(3 * SIZE))), []
    for number in range(3):
        columns = mx.full((1, 2, SIZE, 4), number + 1.0)
        block = kept.add(chain, number * SIZE, (number + 1) * SIZE, ((columns, columns),))
        assert block is not None
        reader.store.write(to_file(block, "key"))
        found.append(Found(block.name, SIZE))
    return BlockRun(found, Landing(layout, [SIZE] * 3, mx.new_stream(mx.cpu)))


def prepared(run: BlockRun, reader: Reader) -> None:
    while not run.files:
        assert run.prepare(cast(BlockReader, reader), 0, decoding=False)


def taken(run: BlockRun) -> None:
    while not run.complete and run.take():
        pass


def keys(run: BlockRun) -> Sequence[float]:
    (pair,) = run.parts()
    assert pair is not None
    return cast(list[float], pair[0][0, 0, :, 0].tolist())


def test_files_are_taken_in_their_order_whichever_comes_first(run: BlockRun, reader: Reader) -> None:
    prepared(run, reader)
    reader.answer(2)
    assert run.arrived == 1 and run.busy and not run.take()
    reader.answer(0)
    taken(run)
    assert len(run.restored) == 1 and not run.complete
    reader.answer(1)
    taken(run)
    assert run.complete and not run.broken and not run.busy
    assert keys(run) == [1.0] * SIZE + [2.0] * SIZE + [3.0] * SIZE


def test_what_follows_a_file_that_is_not_there_does_not_count(run: BlockRun, reader: Reader) -> None:
    """Its columns are not given either, and what is not read yet will not be."""
    prepared(run, reader)
    reader.answer(0)
    reader.asked[1][2].set_exception(OSError())
    taken(run)
    assert run.complete and run.broken and reader.asked[2][2].cancelled()
    assert keys(run) == [1.0] * SIZE


def test_beside_decoding_memory_is_looked_at_some_steps_after_it_was_begun(run: BlockRun, reader: Reader) -> None:
    def at(step: int) -> int:
        count = 0
        while not run.files and run.prepare(cast(BlockReader, reader), step, decoding=True):
            count += 1
        return count

    assert at(0) == 2  # its keys and its values are begun
    assert [at(step) for step in range(1, _LATER)] == [0] * (_LATER - 1)
    assert at(_LATER) == 3  # both are looked at, and threads begin to read
    assert run.files
