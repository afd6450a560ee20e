"""Files come into memory a little in each step; memory that a thread still fills is not let go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import KVCache
from support.small_blocks import blocks_of
from support.waiting import GUARD, wait_until

from mlx_serve.daemon.engine.prefix import read_or_compute
from mlx_serve.daemon.engine.prefix.ahead import Tell, at_once
from mlx_serve.daemon.engine.prefix.chain import Chain
from mlx_serve.daemon.engine.prefix.disk.block_bytes import to_file
from mlx_serve.daemon.engine.prefix.disk.cache_layout import Layout
from mlx_serve.daemon.engine.prefix.disk.disk_store import DiskStore
from mlx_serve.daemon.engine.prefix.disk.reading import block_run, read_back, run_memory
from mlx_serve.daemon.engine.prefix.disk.reading.block_reader import BlockReader
from mlx_serve.daemon.engine.prefix.disk.reading.landing import Landing
from mlx_serve.daemon.engine.prefix.disk.reading.read_back import ReadBack
from mlx_serve.daemon.engine.prefix.disk.reading.staging_buffer import StagingBuffer
from mlx_serve.daemon.engine.prefix.prefix_cache import PrefixCache

SIZE = 8
LAYERS = 20
BLOCKS = 20
PLENTY = 1 << 30
LENGTH = SIZE * BLOCKS


class Clock:
    """Each look at it takes a tenth of a millisecond."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return 0.0

    def perf_counter(self) -> float:
        self.now += 0.0001
        return self.now


class Files:
    """A text of some blocks, and what reads them."""

    def __init__(self, root: Path) -> None:
        self.store = DiskStore(root, "key", PLENTY)
        self.chain = Chain(list(range(LENGTH)))
        cache = KVCache()
        cache.update_and_fetch(mx.zeros((1, 2, 1, 4)), mx.zeros((1, 2, 1, 4)))
        layout = Layout.of([cache] * LAYERS)
        assert layout is not None
        self.layout = layout
        source = PrefixCache(PLENTY, needs_snapshots=False)
        for start in range(0, LENGTH, SIZE):
            columns = mx.full((1, 2, SIZE, 4), start + 1.0)
            block = source.add(self.chain, start, start + SIZE, tuple((columns, columns + 0.5) for _ in range(LAYERS)))
            assert block is not None
            self.store.write(to_file(block, "key"))
        self.size = source.nbytes // BLOCKS

    def begin(self, limit: int = PLENTY, *, in_place: bool = True, rate: float = 0.0) -> tuple[ReadBack, PrefixCache]:
        kept = PrefixCache(limit, needs_snapshots=False)
        back = ReadBack(kept, BlockReader(self.store), self.layout, in_place=in_place, rate=lambda: rate)
        back.begin(1, self.chain, LENGTH)
        return back, kept


def finish(back: ReadBack) -> int:
    """How often the thread looked until all was there."""
    for count in range(100_000):
        if not back.goes_on(1):
            back.after_step(decoding=False)
            return count
        back.after_step(decoding=False)
        back.wait(0.01)
    raise AssertionError("the reading does not end")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    blocks_of(SIZE, monkeypatch)
    yield Files(tmp_path / "prompts")


def held(kept: PrefixCache, chain: Chain) -> list[tuple[float, float]]:
    """The values of each block's first keys and last values."""
    blocks = kept.find(chain, LENGTH).blocks
    pairs = [(block.parts[0], block.parts[-1]) for block in blocks]
    return [(one[0].max().item(), other[1].min().item()) for one, other in pairs if one and other]


@pytest.mark.parametrize("in_place", [True, False])
def test_every_block_lands_in_its_place(files: Files, in_place: bool) -> None:
    """In MLX's own memory, and where it is copied."""
    back, kept = files.begin(in_place=in_place)
    finish(back)
    assert held(kept, files.chain) == [(start + 1.0, start + 1.5) for start in range(0, LENGTH, SIZE)]
    assert back.nbytes == 0 and not back.reading and back.tokens == LENGTH
    back.close()


@pytest.mark.parametrize("in_place", [True, False])
def test_a_step_of_others_is_not_held_up(files: Files, in_place: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside decoding a call takes so much time and no more; memory is looked at two steps after it was begun."""
    monkeypatch.setattr(read_back, "time", Clock())
    back, kept = files.begin(in_place=in_place)
    looks: list[int] = []
    begun: list[int] = []
    settled: list[int] = []
    calls: list[int] = []
    for name, seen in (("begin", begun), ("look", looks), ("settle", settled)):
        real = getattr(Landing, name)

        def counted(landing: Landing, real: Any = real, seen: list[int] = seen) -> Any:
            did = real(landing)
            if did is not False:  # as `begin` says when there is no more to begin
                seen.append(back._steps)
            return did

        monkeypatch.setattr(Landing, name, counted)
    done = 0
    back.after_step(decoding=True)
    while back.goes_on(1):
        calls.append(len(looks) + len(begun) + len(settled) - done)
        done = len(looks) + len(begun) + len(settled)
        back.after_step(decoding=True)
        back.wait(0.01)
    assert max(calls) <= 1 + read_back._BESIDE / 0.0001
    runs, pieces = 3, 2 * LAYERS * 3
    memory = pieces if in_place else runs
    assert (len(looks), len(begun), len(settled)) == (memory, memory, 0 if in_place else pieces)
    assert all(look >= begin + block_run._LATER for look, begin in zip(looks, begun, strict=False))
    assert len(held(kept, files.chain)) == BLOCKS
    back.close()


@pytest.mark.parametrize("decoding", [True, False])
def test_buffers_are_filled_again_when_nobody_copies_from_them(
    files: Files, monkeypatch: pytest.MonkeyPatch, decoding: bool
) -> None:
    """A few of them for ten runs, though copies are begun steps later; what came is what was written. They go with the
    first step after that beside which nobody decodes."""
    made: list[int] = []
    waiting: list[tuple[list[mx.array], Tell]] = []
    begin = StagingBuffer.__init__

    def counted(buffer: StagingBuffer, nbytes: int, *rest: Any) -> None:
        made.append(nbytes)
        begin(buffer, nbytes, *rest)

    def later(arrays: list[mx.array], tell: Tell) -> bool:
        waiting.append((arrays, tell))
        return True

    monkeypatch.setattr(StagingBuffer, "__init__", counted)
    monkeypatch.setattr(run_memory, "TOGETHER", 2)
    back, kept = files.begin(in_place=False)
    free = back._memory._free
    assert free is not None
    back._ahead = free._ahead = later if decoding else at_once  # while others decode another thread evaluates
    steps = 0
    while back.goes_on(1):
        steps += 1
        back.after_step(decoding=decoding)
        if steps % 3 == 0:
            while waiting:
                at_once(*waiting.pop(0))
        back.wait(0.01)
    while waiting:
        at_once(*waiting.pop(0))
    assert held(kept, files.chain) == [(start + 1.0, start + 1.5) for start in range(0, LENGTH, SIZE)]
    assert 1 <= len(made) <= 4
    back.after_step(decoding=True)
    assert back.nbytes == sum(made) > 0
    back.after_step(decoding=False)
    assert back.nbytes == 0
    back.close()


def test_several_prompts_share_the_time_of_a_step(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often each of them is asked for in one."""
    monkeypatch.setattr(read_back, "time", Clock())
    back, kept = files.begin()
    back.begin(2, Chain([*range(LENGTH)]), LENGTH)
    done: list[None] = []
    for name in ("begin", "look"):
        real = getattr(Landing, name)

        def counted(landing: Landing, real: Any = real) -> Any:
            did = real(landing)
            if did is not False:
                done.append(None)
            return did

        monkeypatch.setattr(Landing, name, counted)
    most = 0
    going = {1, 2}
    while going:
        back.after_step(decoding=True)
        before = len(done)
        for _ in range(3):
            going = {number for number in going if back.goes_on(number)}
        most = max(most, len(done) - before)
        back.wait(0.01)
    assert 0 < most <= 1 + read_back._BESIDE / 0.0001 and len(held(kept, files.chain)) == BLOCKS
    back.close()


@pytest.mark.parametrize(("damaged", "in_place"), [(0, True), (3, True), (8, False), (19, False)])
def test_what_comes_before_a_damaged_file_serves(files: Files, damaged: int, in_place: bool) -> None:
    """Whatever the place of the file among those that are read together."""
    (path,) = files.store.folder.glob(f"{files.chain.names(LENGTH)[damaged].hex()}.*")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    back, kept = files.begin(in_place=in_place)
    finish(back)
    assert held(kept, files.chain) == [(start + 1.0, start + 1.5) for start in range(0, damaged * SIZE, SIZE)]
    assert back.tokens == damaged * SIZE and not path.exists()
    wait_until(lambda: not back.leaving and back.nbytes == 0, "its memory is let go")
    back.close()


def test_a_buffer_that_a_thread_still_fills_is_not_used_again(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is damaged while the one behind it is being read into the same buffer: what is read next has another."""
    names = [name.hex() for name in files.chain.names(LENGTH)]
    (path,) = files.store.folder.glob(f"{names[1]}.*")
    path.write_bytes(path.read_bytes()[:-1])
    inside, gate = Event(), Event()
    real = DiskStore.read

    def read(store: DiskStore, name: bytes, room: Any) -> Any:
        if name.hex() == names[2]:
            inside.set()
            gate.wait(GUARD)
        elif name.hex() == names[1]:
            inside.wait(GUARD)
        return real(store, name, room)

    monkeypatch.setattr(DiskStore, "read", read)
    monkeypatch.setattr(run_memory, "_RUNS", 1)
    back, kept = files.begin(in_place=False)
    while back.goes_on(1):
        back.after_step(decoding=True)
        back.wait(0.01)
    assert held(kept, files.chain) == [(1.0, 1.5)]
    assert back.leaving and back._memory.nbytes == 0
    gate.set()
    wait_until(lambda: not back.leaving and back.nbytes == 0, "its memory is let go")
    back.close()


def test_alone_it_takes_few_calls(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody decodes nothing waits for a later step."""
    monkeypatch.setattr(read_back, "_ALONE", 1e9)
    back, kept = files.begin()
    assert finish(back) < 10 * BLOCKS and len(held(kept, files.chain)) == BLOCKS
    back.close()


def test_a_cancelled_prompt_keeps_its_memory_until_nobody_fills_it(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread is in the middle of a file."""
    inside, gate = Event(), Event()
    real = DiskStore.read

    def read(store: DiskStore, name: bytes, room: Any) -> Any:
        inside.set()
        gate.wait(GUARD)
        return real(store, name, room)

    monkeypatch.setattr(DiskStore, "read", read)
    back, kept = files.begin()
    while not inside.is_set():
        back.goes_on(1)
        back.after_step(decoding=False)
    back.forget(1)
    assert not back.reading and back.leaving and back.nbytes > 0
    gate.set()
    wait_until(lambda: not back.leaving, "the threads have ended")
    assert back.nbytes == 0 and len(kept) == 0
    back.close()


def test_where_there_is_no_memory_a_prompt_is_read(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the model, after what had come."""
    real = Landing.begin

    def begin(landing: Landing) -> bool:
        if back._readings[1].start:
            raise RuntimeError("[malloc] Unable to allocate 1 bytes.")
        return real(landing)

    monkeypatch.setattr(run_memory, "_RUNS", 1)
    back, kept = files.begin()
    monkeypatch.setattr(Landing, "begin", begin)
    finish(back)
    assert 0 < len(kept) < BLOCKS and not back.reading
    back.close()


def test_memory_that_is_found_missing_later_ends_the_reading(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has come is begun by somebody else, who tells of it afterwards; the next prompt is read back."""
    told: list[Tell] = []

    def later(arrays: list[mx.array], tell: Tell) -> bool:
        told.append(tell)
        return True

    monkeypatch.setattr(run_memory, "TOGETHER", 1)
    back, kept = files.begin(in_place=False)
    with monkeypatch.context() as patched:
        patched.setattr(back, "_ahead", later)
        while not told:
            assert back.goes_on(1)
            back.after_step(decoding=False)
            back.wait(0.01)
    told[0](0.0, 0.0, RuntimeError("[malloc] no memory"))
    assert not back.goes_on(1) and back.goes_on(1) is None and back.tokens < LENGTH
    kept.clear()
    back.begin(1, files.chain, LENGTH)
    finish(back)
    assert len(held(kept, files.chain)) == BLOCKS
    back.close()


def test_those_who_run_come_first(files: Files) -> None:
    """Memory for files is taken from what they leave alone: two blocks at a time here, and none where there is no room
    for one."""
    back, kept = files.begin()
    back.limit(2 * files.size)
    most = 0
    while back.goes_on(1):
        most = max(most, back.nbytes)
        back.after_step(decoding=False)
        back.wait(0.01)
    assert files.size < most <= 2 * files.size and len(held(kept, files.chain)) == BLOCKS
    back.close()
    back, kept = files.begin()
    back.limit(files.size // 2)
    while back.goes_on(1):
        assert back.nbytes == 0
        back.after_step(decoding=False)
        back.wait(0.01)
    assert len(kept) == 0
    back.close()


def test_no_more_is_read_at_once_than_is_kept(files: Files) -> None:
    """Where memory keeps three blocks no run has more, and what was read first stays."""
    back, kept = files.begin(3 * files.size)
    most = 0
    while back.goes_on(1):
        most = max(most, back.nbytes)
        back.after_step(decoding=False)
        back.wait(0.01)
    assert 0 < most <= 3 * files.size
    assert held(kept, files.chain) == [(start + 1.0, start + 1.5) for start in range(0, 3 * SIZE, SIZE)]
    back.close()


@pytest.mark.parametrize(("rate", "decoding"), [(1e12, False), (1e12, True), (0.0, False)])
def test_what_is_computed_sooner_stays_on_disk(
    files: Files, monkeypatch: pytest.MonkeyPatch, rate: float, decoding: bool
) -> None:
    """What has come by then is kept; beside decoding, and where computing takes longer, all of it is read."""
    monkeypatch.setattr(read_or_compute, "PROBE_BYTES", 1)
    monkeypatch.setattr(run_memory, "TOGETHER", 2)
    back, kept = files.begin(rate=rate)
    back.after_step(decoding=decoding)
    while back.goes_on(1):
        back.after_step(decoding=decoding)
        back.wait(0.01)
    sooner = rate > 0 and not decoding
    came = held(kept, files.chain)
    assert came == [(start + 1.0, start + 1.5) for start in range(0, LENGTH, SIZE)][: len(came)]
    assert (0 < len(came) < BLOCKS) == sooner and back.tokens == len(came) * SIZE
    assert [back.gave_up(1), back.gave_up(1)] == [sooner, False]
    assert back.nbytes == 0 and not back.reading
    back.close()


def test_a_request_that_left_is_forgotten(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_or_compute, "PROBE_BYTES", 1)
    monkeypatch.setattr(run_memory, "TOGETHER", 2)
    back, _ = files.begin(rate=1e12)
    finish(back)
    back.forget(1)
    assert not back.gave_up(1)
    back.close()
