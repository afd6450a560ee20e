"""Blocks that went through files give the answers that reading everything gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import make_prompt_cache
from support.disk_engine import PLENTY, Process, tokens
from support.engine_wire import ask, run
from support.small_blocks import blocks_of

from mlx_serve.daemon.engine.generate.prefilling.pace import Pace
from mlx_serve.daemon.engine.generate.prefilling.prefill import Chunk, Prefill
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prefix import chain, layers, prefix_cache, read_or_compute
from mlx_serve.daemon.engine.prefix.block import Block
from mlx_serve.daemon.engine.prefix.disk.block_bytes import to_file
from mlx_serve.daemon.engine.prefix.disk.block_file import BlockFile
from mlx_serve.daemon.engine.prefix.disk.cache_layout import Layout
from mlx_serve.daemon.engine.prefix.disk.disk_store import DiskStore
from mlx_serve.daemon.engine.prefix.disk.reading import run_memory
from mlx_serve.daemon.engine.prefix.disk.reading.block_reader import BlockReader, Found, Wanted, find
from mlx_serve.daemon.engine.prefix.disk.reading.landing import Landing
from mlx_serve.daemon.protocol import Cancel, Sampling, Started

NAMES = ["llama", "gemma3", "qwen3_next", "qwen3_5"]
SNAPSHOTS = ("gemma3", "qwen3_next", "qwen3_5")
SIZE = 16  # gemma3's window is one block, and kept as a snapshot

Loaded = Callable[[str], LanguageModel]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks_of(SIZE, monkeypatch, least=2 * SIZE)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Begins processes one after the other, each of which ends before the next one begins."""
    begun: list[Process] = []

    def begin(model: LanguageModel, **more: Any) -> Process:
        for one in begun:
            one.end()
        begun[:] = [Process(model, **({"folder": tmp_path / "files"} | more))]
        return begun[0]

    yield begin
    for one in begun:
        one.end()


@pytest.mark.parametrize(
    ("name", "pipelined"), [*((name, False) for name in NAMES), ("llama", True), ("qwen3_next", True)]
)
def test_a_new_process_goes_on_from_files(
    name: str, pipelined: bool, loaded: Loaded, process: Callable[..., Process]
) -> None:
    """The same prompt, the same with its answer and more, and one that parts from it in the middle: the texts are those
    of an engine that keeps nothing, greedy and drawn with a seed, and what was read before is not read again."""
    model = loaded(name)
    prompt = tokens(9 * SIZE + 3, 1)
    (answer,), (none,) = process(model, pipelined=pipelined).answer(prompt)
    prompts = [prompt, (*prompt, *answer, *tokens(20, 2)), (*prompt[: 6 * SIZE + 5], *tokens(30, 3))]
    known = [9 * SIZE, len(prompt) + len(answer) - 1, 6 * SIZE]  # whole blocks, and ends that are wholly in the prompt
    if name in SNAPSHOTS:  # which have one at the prompt's end, and every four blocks
        known = [len(prompt) - 1, len(prompt) - 1, 4 * SIZE]
    seeded = {"sampling": Sampling(temperature=1.0, seed=7)}
    plain = Process(model, None)
    assert none == 0 and plain.answer(prompt)[0] == [answer]
    for one, least, options in zip(prompts, known, ({}, seeded, {}), strict=True):
        expected, _ = plain.answer(one, **options)
        new = process(model, pipelined=pipelined)
        found, (cached,) = new.answer(one, **options)
        assert found == expected and cached >= least, (len(one), options)
        assert new.engine.gauges().prefix_disk_tokens >= least


def test_many_that_arrive_together_read_the_files_once(loaded: Loaded, process: Callable[..., Process]) -> None:
    """Of a beginning that was read in another process."""
    model, beginning = loaded("llama"), tokens(8 * SIZE, 4)
    process(model).answer(beginning)
    prompts = [(*beginning, *tokens(5 + place, 10 + place)) for place in range(4)]
    new = process(model)
    answers, cached = new.answer(*prompts)
    assert answers == Process(model, None).answer(*prompts)[0]
    assert all(one >= 7 * SIZE for one in cached) and new.engine.gauges().prefix_disk_tokens <= 8 * SIZE


@pytest.mark.parametrize("new", [SIZE - 5, 2 * SIZE + 3])
def test_those_who_look_on_disk_do_not_wait_for_each_other(
    new: int, loaded: Loaded, process: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts that arrive together, of which memory has the beginning and files have no more, are read side by side;
    where less than a block is missing, nobody looks."""
    looked: list[tuple[Wanted, Future[tuple[Found, ...]]]] = []
    groups: list[int] = []

    def asked(reader: BlockReader, wanted: Wanted) -> Future[tuple[Found, ...]]:
        looked.append((wanted, Future()))
        return looked[-1][1]

    def waited(reader: BlockReader, seconds: float) -> None:
        """The disk answers all who asked."""
        for wanted, future in looked:
            if not future.done():
                future.set_result(find(reader._store, wanted))

    begin = Prefill.begin_chunk

    def noted(prefill: Prefill, budget: int) -> Chunk:
        if prefill.done == prefill.start:
            groups.append(len(prefill.requests))
        return begin(prefill, budget)

    engine, beginning = process(loaded("llama"), tokens_per_step=400), tokens(8 * SIZE, 4)
    engine.answer((*beginning, 1))
    monkeypatch.setattr(BlockReader, "find", asked)
    monkeypatch.setattr(BlockReader, "wait", waited)
    monkeypatch.setattr(Prefill, "begin_chunk", noted)
    prompts = [(*beginning, *tokens(new, 10 + place)) for place in range(4)]
    answers, cached = engine.answer(*prompts)
    assert groups == [4] and len(looked) == (4 if new > SIZE else 0)
    assert cached == [8 * SIZE] * 4 and answers == Process(loaded("llama"), None).answer(*prompts)[0]


def test_files_are_of_one_model(loaded: Loaded, process: Callable[..., Process]) -> None:
    """What another digest left is not found, and short prompts leave nothing."""
    model, prompt = loaded("llama"), tokens(5 * SIZE, 5)
    first = process(model)
    first.answer(tokens(SIZE, 6))
    first.answer(prompt)
    first.end()
    count = sum(one.suffix == ".block" for one in first.folder.iterdir())
    assert count == 6  # five whole ones, and the answer's end
    assert process(model, digest="other").answer(prompt)[1] == [0]
    assert process(model).answer(prompt)[1] == [4 * SIZE]


@pytest.mark.parametrize("name", ["llama", "qwen3_next"])
def test_a_damaged_file_ends_what_is_taken_from_disk(
    name: str, loaded: Loaded, process: Callable[..., Process]
) -> None:
    """A flipped byte in the middle of a chain: what comes before it serves, and it is written anew."""
    model, prompt = loaded(name), tokens(9 * SIZE + 3, 7)
    first = process(model)
    (answer,), _ = first.answer(prompt)
    first.end()
    names = chain.Chain(list(prompt)).names(len(prompt))
    (damaged,) = first.folder.glob(f"{names[5].hex()}.*")
    content = bytearray(damaged.read_bytes())
    content[-3] ^= 1
    damaged.write_bytes(content)
    second = process(model)
    assert second.answer(prompt) == ([answer], [5 * SIZE if name == "llama" else 4 * SIZE])
    second.end()
    assert damaged.read_bytes() != content
    assert process(model).answer(prompt) == ([answer], [9 * SIZE if name == "llama" else len(prompt) - 1])


def test_a_prompt_that_is_cancelled_while_its_files_are_read(loaded: Loaded, process: Callable[..., Process]) -> None:
    """Nothing is left of it, and others go on."""
    model, prompt = loaded("llama"), tokens(9 * SIZE + 3, 8)
    process(model).answer(prompt)
    new = process(model)
    run((new.engine, new.wire), iter([[ask(1, prompt)], [Cancel(id=1)], []]))
    back = new.engine._reuse._files._back
    assert back is not None and not back.reading and not new.wire.deltas(1)
    run((new.engine, new.wire), iter([[ask(2, prompt)]]))
    assert new.wire.tokens(2) == Process(model, None).answer(prompt)[0][0]
    assert new.engine.idle and new.engine.audit() is None


@pytest.mark.parametrize("name", NAMES)
def test_neighbours_from_files_share_memory_again(name: str, loaded: Loaded, process: Callable[..., Process]) -> None:
    """A prompt is put together from few pieces, as from those that were never on disk."""
    model, prompt = loaded(name), tokens(9 * SIZE, 9)
    process(model).answer(prompt)
    new = process(model)
    new.answer(prompt)
    kept = new.engine._reuse.kept
    assert kept is not None
    match = kept.find(chain.Chain(list(prompt)), len(prompt))
    assert len(match.blocks) >= 8 and len(match.parts()) <= 3


def landed(store: DiskStore, name: bytes, layout: Layout, width: int) -> tuple[BlockFile | None, layers.Parts]:
    """A block read into memory of MLX."""
    landing = Landing(layout, [width], mx.new_stream(mx.cpu))
    while landing.begin():
        landing.look()
    return store.read(name, landing.room(0)), landing.parts()


def test_a_file_of_another_network_is_refused(loaded: Loaded, tmp_path: Path) -> None:
    """Though its name, its key and its checksums are right; it is gone after that."""
    model = loaded("llama")
    caches = make_prompt_cache(model.network)
    model.network(mx.array([[1] * SIZE]), cache=caches)
    layout = Layout.of(caches)
    assert layout is not None and Layout.of([*caches, layers.KVCache()]) is None
    parts = layers.cut(caches, 0, 0, SIZE)
    assert parts is not None
    kept = prefix_cache.PrefixCache(PLENTY, needs_snapshots=False)
    known = chain.Chain([1] * SIZE)
    for wrong in (parts[:-1], tuple((keys[..., :2], values[..., :2]) for keys, values in parts if keys is not None)):
        kept.clear()
        block = kept.add(known, 0, SIZE, wrong)
        assert isinstance(block, Block)
        store = DiskStore(tmp_path / "files", "key", 1 << 20)
        store.write(to_file(block, "key"))
        assert store.has(block.name) and landed(store, block.name, layout, SIZE)[0] is None
        assert not store.has(block.name)


@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16, mx.float32, mx.uint32])
def test_every_bit_comes_back(dtype: mx.Dtype, tmp_path: Path) -> None:
    """Of parts that are cut from the columns of several neighbours, infinities among them."""
    keys = mx.random.normal((1, 2, 8, 4), key=mx.random.key(1)).astype(dtype)
    if dtype != mx.uint32:
        keys[0, 0, 3, 0] = mx.array(float("inf"), dtype)
    cache = layers.KVCache()
    cache.update_and_fetch(keys, keys + 1)
    known = chain.Chain([1, 2, 3, 4])
    parts = layers.columns(((keys, keys + 1),), 2, 6)
    kept = prefix_cache.PrefixCache(1 << 20, needs_snapshots=False)
    block = kept.add(known, 0, 4, parts)
    assert isinstance(block, Block)
    store = DiskStore(tmp_path / "files", "key", 1 << 20)
    store.write(to_file(block, "key"))
    layout = Layout.of([cache])
    assert layout is not None
    file, found = landed(store, block.name, layout, 4)
    assert file is not None and bytes(file.tokens) == block.tokens
    assert file.header.parent == block.parent and file.header.snapshots is None
    pairs = zip(layers.arrays(found), block.arrays(), strict=True)
    assert all(one.dtype == dtype and mx.array_equal(one, other) for one, other in pairs)


def test_what_is_computed_sooner_is_not_read(
    loaded: Loaded, process: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is the same, what has come is used, and the reason is said."""
    monkeypatch.setattr(read_or_compute, "PROBE_BYTES", 1)
    monkeypatch.setattr(run_memory, "TOGETHER", 2)
    model, prompt = loaded("llama"), tokens(9 * SIZE + 3, 1)
    expected, _ = process(model).answer(prompt)
    asked = process(model)
    monkeypatch.setattr(Pace, "rate", 0.0)  # whatever else this machine does meanwhile
    assert asked.answer(prompt) == (expected, [9 * SIZE])
    asked.engine._reuse.clear()
    monkeypatch.setattr(Pace, "rate", 1e12)
    found, (cached,) = asked.answer(prompt)
    assert found == expected and 0 < cached < 9 * SIZE
    (started,) = [event for event in asked.wire.events[2] if isinstance(event, Started)]
    assert started.reread is not None and started.reread.reason == "computed sooner"
