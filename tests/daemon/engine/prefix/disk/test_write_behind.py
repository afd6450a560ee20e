"""Bytes are made in portions, in what time and memory others leave, each block after the one that it follows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import KVCache
from support.small_blocks import blocks_of
from support.waiting import GUARD

from mlx_serve.daemon.engine.prefix.ahead import Tell
from mlx_serve.daemon.engine.prefix.chain import Chain
from mlx_serve.daemon.engine.prefix.disk import write_behind
from mlx_serve.daemon.engine.prefix.disk.block_file import BlockFile
from mlx_serve.daemon.engine.prefix.disk.block_writer import BlockWriter
from mlx_serve.daemon.engine.prefix.disk.cache_layout import Layout
from mlx_serve.daemon.engine.prefix.disk.disk_store import DiskStore
from mlx_serve.daemon.engine.prefix.disk.write_behind import WriteBehind
from mlx_serve.daemon.engine.prefix.prefix_cache import PrefixCache

SIZE = 8
LAYERS = 4
PLENTY = 1 << 30


class Clock:
    """Each look at it takes a tenth of a millisecond."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def perf_counter(self) -> float:
        self.now += 0.0001
        return self.now


class Written:
    """A text of some blocks in memory, and the files that come of it."""

    def __init__(self, root: Path, blocks: int, *, staged: bool = False) -> None:
        self.kept = PrefixCache(PLENTY, needs_snapshots=False)
        self.store = DiskStore(root, "key", PLENTY)
        self.writer = BlockWriter(self.store, pytest.fail)
        cache = KVCache()
        cache.update_and_fetch(*(mx.zeros((1, 2, 1, 4), mx.bfloat16) for _ in range(2)))
        layout = Layout.of([cache] * LAYERS)
        assert layout is not None
        self.behind = WriteBehind(self.kept, self.writer, "key", layout, mx.new_stream(mx.cpu), staged=staged)
        self.chain = Chain(list(range(SIZE * blocks)))
        for start in range(0, SIZE * blocks, SIZE):
            columns = mx.full((1, 2, SIZE, 4), start, mx.bfloat16)
            self.kept.add(self.chain, start, start + SIZE, tuple((columns, columns + 1) for _ in range(LAYERS)))

    @property
    def there(self) -> list[bool]:
        return [self.store.has(name) for name in self.chain.names(len(self.chain.tokens))]

    def steps(self, count: int, **how: Any) -> None:
        for _ in range(count):
            self.behind.hand_over(**({"computing": False} | how))


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    blocks_of(SIZE, monkeypatch, least=2 * SIZE)
    made = Written(tmp_path / "prompts", 6)
    yield made
    made.writer.close(GUARD)


def test_all_of_a_long_text_is_written(written: Written) -> None:
    """Its first blocks too, which came while it was short; copies are let go when they are in files."""
    written.steps(40, rest=True)
    assert not written.behind.waiting and written.writer.flush(GUARD)
    written.steps(1)
    assert all(written.there) and written.behind.nbytes == 0 and not written.behind._written


def test_decoding_leaves_it_a_hundredth_of_the_time(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten seconds of steps a tenth of a second, give or take one array a step."""
    clock = Clock()
    monkeypatch.setattr(write_behind, "time", clock)
    written.behind._credited = 0.0
    calls: list[None] = []
    real = written.behind._advance
    monkeypatch.setattr(written.behind, "_advance", lambda: calls.append(None) or real())
    for _ in range(100):
        clock.now += 0.01
        written.steps(1, computing=True)
    assert 0 < len(calls) * 0.0001 < 1.5 * write_behind.SHARE


def test_those_who_run_come_first(written: Written) -> None:
    """Where they leave no room nothing is copied; it is done when they are gone."""
    block = next(iter(written.kept._blocks.values()))
    written.steps(10, room=block.nbytes - 1)
    assert written.behind.nbytes == 0 and written.behind.waiting
    written.steps(60, room=block.nbytes)
    assert written.behind.nbytes <= block.nbytes
    while written.behind.waiting:
        written.behind.wait(0.01)
        written.steps(1, room=block.nbytes, rest=True)
        assert written.behind.nbytes <= block.nbytes
    assert written.writer.flush(GUARD) and all(written.there)


def test_what_never_fits_is_not_waited_for(written: Written) -> None:
    """At rest, so that the engine is."""
    written.steps(2, room=10, rest=True)
    assert not written.behind.waiting and not any(written.there)


def test_what_would_be_refused_is_not_written(written: Written) -> None:
    """A block whose numbers are of another type than those of its network: a reader takes such a file for damaged. Nor
    is what follows it, which nobody would find."""
    blocks = list(written.kept._blocks.values())
    other = next(block for block in blocks if block.name == written.chain.names(3 * SIZE)[-1])
    other.run = tuple((pair[0].astype(mx.float32), pair[1]) for pair in other.parts if pair is not None)
    written.steps(40, rest=True)
    assert not written.behind.waiting and written.writer.flush(GUARD)
    assert written.there == [True, True, False, False, False, False]


def test_what_memory_does_not_keep_is_not_written(written: Written) -> None:
    """A block that had to go, and all after it."""
    name = written.chain.names(4 * SIZE)[-1]
    while written.kept.block(name) is not None:
        written.kept._drop(next(iter(written.kept._blocks)))
    written.steps(40, rest=True)
    assert written.writer.flush(GUARD) and written.there == [True] * 3 + [False] * 3


def test_staged_copies_have_the_same_memory_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what a GPU shares with the host is neither asked for nor given back all the time; the files are right."""
    blocks_of(SIZE, monkeypatch, least=2 * SIZE)
    made = Written(tmp_path / "prompts", 12, staged=True)
    places: set[int] = set()
    real = made.writer.offer

    def offer(file: BlockFile, used: int | None = None) -> bool:
        places.update(np.frombuffer(tensor, np.uint8).ctypes.data for tensor in file.tensors)
        return real(file, used)

    monkeypatch.setattr(made.writer, "offer", offer)
    while made.behind.waiting:
        made.steps(1, rest=True, room=made.kept._blocks[made.chain.names(SIZE)[0]].nbytes)
        assert made.writer.flush(GUARD)
    made.steps(1)
    assert len(places) == 2 * LAYERS
    assert made.behind.nbytes == 0 and made.behind.staging_bytes > 0
    for place, name in enumerate(made.chain.names(12 * SIZE)):
        read = made.store.read(name)
        assert read is not None
        expected = mx.full((2 * SIZE * 4,), place * SIZE, mx.bfloat16)
        assert bytes(read.tensors[0]) == bytes(memoryview(expected.view(mx.uint8)))  # type: ignore[arg-type]
    made.behind.drop()
    assert made.behind.staging_bytes == 0
    made.writer.close(GUARD)


class Later:
    """Begins what it is given when `go` is called, and then tells."""

    def __init__(self) -> None:
        self.given: list[tuple[list[mx.array], Tell]] = []

    def __call__(self, arrays: list[mx.array], tell: Tell) -> bool:
        self.given.append((arrays, tell))
        return True

    def go(self, problem: Exception | None = None, each: float = 0.0) -> int:
        """How many arrays that were; `each` took so many seconds."""
        given, self.given = self.given, []
        for arrays, tell in given:
            if problem is None:
                mx.async_eval(arrays)  # type: ignore[no-untyped-call]
            tell(0.0, each * len(arrays), problem)
        return sum(len(arrays) for arrays, _ in given)


def test_copies_that_others_begin_are_looked_at_when_they_have(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many steps that takes."""
    looked: list[mx.array] = []
    real = write_behind.view
    monkeypatch.setattr(write_behind, "view", lambda copy: looked.append(copy) or real(copy))
    later = Later()
    monkeypatch.setattr(written.behind, "_ahead", later)
    written.steps(40, rest=True)
    assert later.given and not looked
    for _ in range(40):
        later.go()
        written.steps(3, rest=True)
    assert looked and not written.behind.waiting and written.writer.flush(GUARD)
    assert all(written.there)


@pytest.mark.parametrize("each", [0.0001, 0.0005])
def test_copies_that_are_put_off_take_of_the_time_too(
    written: Written, monkeypatch: pytest.MonkeyPatch, each: float
) -> None:
    """Whatever one takes: of ten seconds of steps a tenth of a second at the most, and not much less. Those of one step
    are begun together."""
    clock, later, count, most = Clock(), Later(), 0, 0
    monkeypatch.setattr(write_behind, "time", clock)
    monkeypatch.setattr(written.behind, "_ahead", later)
    monkeypatch.setattr(PrefixCache, "block", lambda kept, name: next(iter(kept._blocks.values())))
    written.behind._credited = 0.0
    for _ in range(400):
        written.behind._pending.extend([(b"", 0)] * 9)
        clock.now += 0.025
        written.steps(1, computing=True)
        most = max(most, len(later.given))
        count += later.go(each=each)
        written.behind._outgoing.clear()
    assert 0.3 * write_behind.SHARE < count * each / 10 < 1.5 * write_behind.SHARE
    assert most == 2


def test_no_memory_for_copies_that_others_begin(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more is written of what there is; what comes later is."""
    later = Later()
    monkeypatch.setattr(written.behind, "_ahead", later)
    written.steps(4, rest=True)
    later.go(RuntimeError("[malloc] no memory"))
    assert not written.behind.waiting and written.behind.nbytes == 0
    written.steps(2, rest=True)
    assert written.writer.flush(GUARD) and not any(written.there)


def test_the_end_waits_for_nobody_else(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies that somebody else was to begin are begun when they are looked at."""
    with monkeypatch.context() as patched:
        patched.setattr(written.behind, "_ahead", Later())
        written.steps(4, rest=True)
    blocks = written.behind._outgoing
    assert blocks and any(one.copies and not one.begun for one in blocks)
    written.behind.finish(GUARD)
    assert any(written.there)
