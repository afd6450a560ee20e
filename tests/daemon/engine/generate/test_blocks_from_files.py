"""Blocks that went through files give the answers that reading everything gives."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import pytest
from reference.architectures import VOCABULARY
from support.engine_wire import Wire, ask, generator, run

from mlx_serve.daemon.engine.generate import reuse
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prefix import chain, layers, prefix_cache, recording
from mlx_serve.daemon.engine.prefix.block import Block
from mlx_serve.daemon.engine.prefix.block_bytes import to_block, to_file
from mlx_serve.daemon.engine.prefix.block_file import DamagedBlock
from mlx_serve.daemon.engine.prefix.disk_store import DiskStore

SIZE = 16  # gemma3's window is one block, and kept as a snapshot


@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3_next"])
def test_a_fresh_engine_goes_on_from_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded: Callable[[str], LanguageModel]
) -> None:
    """The whole blocks of a prompt, written by one engine and put into another one, are not read again, and the answer
    is the same to the token; a network of another kind refuses them."""
    for module in (chain, layers, prefix_cache, recording, reuse):
        monkeypatch.setattr(module, "BLOCK", SIZE)
    monkeypatch.setattr(recording, "SNAPSHOT_EVERY", 2 * SIZE)
    model = loaded(name)
    chance = random.Random(1)
    prompt = tuple(chance.randrange(VOCABULARY) for _ in range(5 * SIZE + 3))

    def engine(prefixes: int) -> tuple[reuse.Reuse, Callable[[], tuple[list[int], int]]]:
        wire = Wire(model)
        made = generator(model, wire, prefixes=prefixes, tokens_per_step=24)

        def answer() -> tuple[list[int], int]:
            run((made, wire), iter([[ask(1, prompt, 12)]]))
            return wire.tokens(1), wire.finished(1).cached_tokens

        (found,) = [one for one in vars(made).values() if isinstance(one, reuse.Reuse)]
        return found, answer

    wanted, _ = engine(0)[1]()
    first, answer = engine(1 << 30)
    assert answer() == (wanted, 0) and first.kept is not None
    store, known = DiskStore(tmp_path, "key", 1 << 30), chain.Chain(list(prompt))
    names = known.names(len(prompt))
    for block_name in names:
        assert store.write(to_file(first.kept._blocks[block_name], "key"))

    second, again = engine(1 << 30)
    assert second.kept is not None
    caches = model.network.make_cache()
    for place, block_name in enumerate(names):
        file = store.read(block_name)
        assert file is not None
        block = to_block(file, caches)
        assert second.kept.add(known, place * SIZE, (place + 1) * SIZE, block.parts, block.snapshots) is not None
        with pytest.raises(DamagedBlock):
            to_block(file, caches[:-1])
    text, cached = again()
    assert text == wanted and cached == (5 if name == "llama" else 4) * SIZE


@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16, mx.float32, mx.uint32])
def test_every_bit_comes_back(dtype: mx.Dtype, tmp_path: Path) -> None:
    """Of parts that are cut from the columns of several neighbours, infinities among them."""
    keys = mx.random.normal((1, 2, 8, 4), key=mx.random.key(1)).astype(dtype)
    if dtype != mx.uint32:
        keys[0, 0, 3, 0] = mx.array(float("inf"), dtype)
    known = chain.Chain([1, 2, 3, 4])
    parts = layers.columns(((keys, keys + 1),), 2, 6)
    kept = prefix_cache.PrefixCache(1 << 20, needs_snapshots=False)
    block = kept.add(known, 0, 4, parts)
    assert isinstance(block, Block)
    store = DiskStore(tmp_path, "key", 1 << 20)
    store.write(to_file(block, "key"))
    file = store.read(block.name)
    assert file is not None
    found = to_block(file, [layers.KVCache()])
    assert found.tokens == block.tokens and found.parent == block.parent and found.snapshots is None
    pairs = zip(found.arrays(), block.arrays(), strict=True)
    assert all(one.dtype == dtype and mx.array_equal(one, other) for one, other in pairs)
