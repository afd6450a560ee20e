"""What rows of a prompt begin with is in memory once, and all that comes of it is what it would be with copies.

The kernel that reads both parts is for NVIDIA GPUs; here MLX computes what it is asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import mlx.core as mx
import pytest
from mlx_lm.models.cache import KVCache
from support.engine_wire import Wire, ask, generator, run
from support.small_blocks import blocks_of

from mlx_serve.daemon.engine.cache import attention, capacity, cuda_attention
from mlx_serve.daemon.engine.cache.common_beginning import Beginnings, CommonBeginning, joined
from mlx_serve.daemon.engine.cache.cuda_attention import CudaAttention
from mlx_serve.daemon.engine.generate.prefilling import prefill
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.model.trial import beginnings_work
from mlx_serve.daemon.protocol import Sampling, Started

plain = mx.fast.scaled_dot_product_attention


class Rows:
    """No kernel for rows."""

    def __init__(self, cubins: Any) -> None:
        self.broken = False

    def fits(self, *_: Any, paged: bool) -> bool:
        return False


class Prompts:
    """What the kernel computes; `seen`: rows and tokens of each beginning that it was given."""

    seen: ClassVar[list[tuple[int, int]]] = []

    def __init__(self, plain: Any, cubins: Any) -> None:
        pass

    def fits(self, q: mx.array, k: mx.array, v: mx.array, mask: Any) -> bool:
        return q.shape[2] > 1 and mask == "causal"

    def __call__(self, q: mx.array, k: mx.array, v: mx.array, scale: float, *, causal: bool, first: Any = None) -> Any:
        if first is not None:
            self.seen.append((q.shape[0], first[0].shape[2]))
            k, v = joined(first[0], k), joined(first[1], v)
        return plain(q, k, v, scale=scale, mask="causal")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """The attention of a process on an NVIDIA GPU, for beginnings of any length."""
    monkeypatch.setattr(cuda_attention, "RowAttention", Rows)
    monkeypatch.setattr(cuda_attention, "CausalAttention", Prompts)
    monkeypatch.setattr(cuda_attention, "TILE", 1)
    monkeypatch.setattr(prefill, "LEAST_BEGUN", 1)
    monkeypatch.setattr(mx, "device_info", lambda: {"architecture": "sm_90a"})
    monkeypatch.setattr(mx.fast, "scaled_dot_product_attention", CudaAttention(plain))
    Prompts.seen = []
    yield Prompts.seen


TEXT = tuple(3 + place % 90 for place in range(150))


@pytest.mark.parametrize("budget", [512, 24])
def test_texts_are_those_of_an_engine_that_keeps_nothing(
    llama: LanguageModel, gpu: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    """Of prompts that go on from one beginning, in one chunk and in several, of such that go on from those, of one that
    is known to its end, and of several answers to one."""
    blocks_of(8, monkeypatch)
    asked = [
        [ask(1, TEXT[:101], 4)],
        *[[]] * 40,
        [ask(2 + place, (*TEXT[:100], 7 + place, *TEXT[: 9 + 30 * place]), 6) for place in range(3)],
        *[[]] * 60,
        [ask(5, (*TEXT[:100], 9, *TEXT[:69], 11, 12, 13, 14), 5), ask(6, TEXT[:101], 5)],
        *[[]] * 40,
        [ask(7, (*TEXT[:100], 8, *TEXT[:39], 5, 6), 6, choices=3, sampling=Sampling(temperature=1.0, seed=4))],
    ]
    model = replace(llama, costs=replace(llama.costs, paged=True), beginnings=True)
    wires = []
    for kept in (1 << 24, 0):
        wire = Wire(model)
        made = generator(model, wire, tokens_per_step=budget, max_batch=4, prefixes=kept)
        run((made, wire), iter(asked))
        assert made.audit() is None
        wires.append(wire)
    assert any(rows > 1 and begun == 100 for rows, begun in gpu) and (1, 170) in gpu
    for number in range(1, 8):
        assert wires[0].tokens(number) == wires[1].tokens(number)
    cached = {number: [one.cached for one in wires[0].events[number] if isinstance(one, Started)] for number in (5, 6)}
    assert cached[6] == [100] and cached[5][0] > 160, "what was read after a beginning is kept too"


def test_what_is_long_is_read_by_plans_and_what_is_short_is_copied(
    llama: LanguageModel, gpu: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has a beginning where much is left to read, where little is known, or where the network has shown that it
    does not work."""
    for limit, least, works in ((20, 1, True), (1000, 101, True), (1000, 1, False)):
        monkeypatch.setattr(prefill, "MOST_READ", limit)
        monkeypatch.setattr(prefill, "LEAST_BEGUN", least)
        model = replace(llama, costs=replace(llama.costs, paged=True), beginnings=works)
        wire = Wire(model)
        made = generator(model, wire, tokens_per_step=512, max_batch=4, prefixes=1 << 24)
        run((made, wire), iter([[ask(1, TEXT[:101], 2)], *[[]] * 9, [ask(2, (*TEXT[:100], *TEXT[:40]), 2)]]))
        assert not gpu


@pytest.mark.parametrize("seed", range(4))
def test_columns_are_those_of_copies(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any row, from anywhere, before anything was read and after; page by page too."""
    monkeypatch.setattr(capacity, "PAGE", 8)
    chance, beginnings = random.Random(seed), Beginnings()
    begun, rows = chance.choice([16, 21, 300]), chance.choice([1, 3])
    first = mx.random.normal((1, 2, begun, 4)), mx.random.normal((1, 2, begun, 4))
    found, expected = CommonBeginning(first, beginnings), KVCache()
    expected.keys, expected.values = (mx.repeat(one, rows, 0) for one in first)
    expected.offset = begun
    for tokens in (0, 5, 300):
        if tokens:
            mask = found.make_mask(tokens)
            new = mx.random.normal((rows, 2, tokens, 4)), mx.random.normal((rows, 2, tokens, 4))
            keys, values = found.update_and_fetch(*new)
            whole = expected.update_and_fetch(*new)
            for own, part, all_of_it in zip((keys, values), mask.of(keys), whole, strict=True):
                assert bool(mx.array_equal(joined(part, own), all_of_it))
        assert found.offset == expected.offset
        for row in range(rows):
            start = chance.randrange(found.offset)
            stop = chance.randint(start + 1, found.offset)
            for one, other in zip(found.columns(row, start, stop), (expected.keys, expected.values), strict=True):
                assert bool(mx.array_equal(one, other[row : row + 1, :, start:stop]))
        for start in range(found.offset):
            parts = found.parts(slice(0, rows), start)
            place = start
            for begins, (keys, values) in parts:
                assert begins == place
                for one, other in ((keys, expected.keys), (values, expected.values)):
                    assert bool(mx.array_equal(one, other[:, :, place : place + keys.shape[2]]))
                place += keys.shape[2]
            assert place == found.offset
        assert found.pages == begun // 8
        keys, values = found.first(rows, 8, 16)
        assert bool(
            mx.array_equal(keys, expected.keys[:, :, 8:16]) & mx.array_equal(values, expected.values[:, :, 8:16])
        )


def test_a_mask_that_a_beginning_has_not_is_refused() -> None:
    """No network for which rows have pages asks for it."""
    cache = CommonBeginning((mx.zeros((1, 1, 8, 4)), mx.zeros((1, 1, 8, 4))), Beginnings())
    for options in ({"return_array": True}, {"window_size": 4}):
        with pytest.raises(ValueError, match="seen as a whole"):
            cache.make_mask(3, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", ["", "keys", "mask"])
def test_a_network_is_tried_once(
    llama: LanguageModel, gpu: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """One that does anything to its keys before attention, or asks for another mask, has no such beginnings; and what
    it gives without them is as it was."""
    tokens = mx.array([[5, 6, 7]])
    before = llama.network(tokens)
    if fault == "keys":
        given = CommonBeginning.update_and_fetch
        monkeypatch.setattr(CommonBeginning, "update_and_fetch", lambda *each: tuple(one + 0 for one in given(*each)))
    elif fault:
        mask = CommonBeginning.make_mask
        monkeypatch.setattr(CommonBeginning, "make_mask", lambda self, N, **_: mask(self, N, window_size=9))
    assert beginnings_work(llama.network) == (not fault)
    assert not fault or not gpu
    assert bool(mx.array_equal(llama.network(tokens), before))


def test_only_nvidia_gpus_have_such_beginnings() -> None:
    assert not attention.reads_beginnings(64)
