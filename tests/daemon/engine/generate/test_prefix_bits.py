"""Prompts on disk in 8 bits: what changes, what does not, and that it is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import mlx.core as mx
import pytest
from support.disk_engine import Process, tokens
from support.packed_blocks import back
from support.small_blocks import blocks_of

from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prefix import chain
from mlx_serve.daemon.engine.prefix.disk import eight_bits
from mlx_serve.daemon.engine.prefix.disk.logit_change import measure, sample
from mlx_serve.daemon.engine.prefix.layers import arrays

SIZE = 16
PROMPT = tokens(9 * SIZE + 3, 1)
TOLD = re.compile(r"keep prompts on disk in 8 bits logits_most=(\S+) logits_mean=(\S+) kl=(\S+) other_likeliest=\d/8 ")

Loaded = Callable[[str], LanguageModel]
Begin = Callable[..., Process]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks_of(SIZE, monkeypatch, least=2 * SIZE)


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    begun: list[Process] = []

    def start(model: LanguageModel, bits: int | None) -> Process:
        begun.append(Process(model, tmp_path / "files", bits=bits))
        return begun[-1]

    yield start
    for one in begun:
        one.end()


@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3_next"])
def test_keys_and_values_come_back_packed_and_all_else_exact(name: str, loaded: Loaded, begin: Begin) -> None:
    """Columns are what 8 bits make of them, and not what they were; recurrent states and windows have every bit."""
    model = loaded(name)
    first = begin(model, 8)
    first.answer(PROMPT)
    before = first.blocks
    first.end()
    second = begin(model, 8)
    _, (cached,) = second.answer(PROMPT)
    assert cached >= 9 * SIZE
    read = {block: second.blocks[block] for block in chain.Chain(list(PROMPT)).names(9 * SIZE)}
    columns = 0
    for block, found in read.items():
        pairs = zip(arrays(found.parts), arrays(before[block].parts), strict=True)
        for one, exact in pairs:
            columns += 1
            assert mx.array_equal(one, back(exact)) and not mx.array_equal(one, exact)
        states = [arrays((), each.snapshots or ()) for each in (found, before[block])]
        assert all(mx.array_equal(one, exact) for one, exact in zip(*states, strict=True))
    assert columns and (name == "llama" or any(one.snapshots for one in read.values()))


def test_exact_files_and_packed_ones_are_apart(loaded: Loaded, begin: Begin) -> None:
    """Neither is taken for the other; the packed ones are smaller, and the exact text is that of no files at all."""
    model = loaded("llama")
    packed, exact = begin(model, 8), begin(model, None)
    assert exact.answer(PROMPT)[1] == packed.answer(PROMPT)[1] == [0]
    packed.end()
    exact.end()
    sizes = [sum(path.stat().st_size for path in one.folder.iterdir()) for one in (packed, exact)]
    assert packed.folder != exact.folder and sizes[0] < 0.7 * sizes[1]
    assert begin(model, None).answer(PROMPT) == (Process(model, None).answer(PROMPT)[0], [9 * SIZE])


def test_the_change_in_logits_is_told(loaded: Loaded, begin: Begin, capfd: pytest.CaptureFixture[str]) -> None:
    """Once, when a model is loaded whose prompts are packed, and of no other one."""
    begin(loaded("llama"), None)
    assert "8 bits" not in capfd.readouterr().err
    begin(loaded("llama"), 8)
    told = TOLD.findall(capfd.readouterr().err)
    assert len(told) == 1
    most, mean, divergence = map(float, told[0])
    assert 0 < mean < most < 1 and 0 <= divergence < 1e-2


@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3_5"])
def test_the_change_is_that_of_the_packing(name: str, loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """None where nothing is packed, and larger with one bit than with eight."""
    model = loaded(name)
    prompt = list(PROMPT)
    eight = measure(model.network, prompt)
    monkeypatch.setattr(eight_bits, "_LEVELS", 1)
    one = measure(model.network, prompt)
    monkeypatch.setattr(eight_bits, "_REAL", ())
    none = measure(model.network, prompt)
    assert eight is not None and one is not None and none is not None
    assert none.most == none.divergence == none.others == 0
    assert 0 < eight.mean < eight.most < one.most and eight.divergence < one.divergence


def test_a_slow_device_measures_with_few_tokens(loaded: Loaded) -> None:
    """They are those of a text, as many as a quarter of a second takes."""
    model = loaded("llama")
    counts = [len(sample(model.tokenizer, rate, model.rows)) for rate in (1.0, 400.0, 1e6)]
    assert counts == [40, 108, 264]
    assert max(sample(model.tokenizer, 1e6, 50)) < 50
