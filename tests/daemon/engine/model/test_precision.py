"""Half precision on MLX's CPU backend: computed in float32 where it fits, with the very same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx.utils import tree_flatten
from mlx_lm.convert import convert
from mlx_lm.utils import load_model, save_model

from mlx_serve.daemon.engine.model.load import LanguageModel, load
from mlx_serve.daemon.engine.model.precision import read_weights, widen
from mlx_serve.daemon.protocol import Load, Loaded


@pytest.fixture
def half(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """The tiny llama, rounded to bfloat16."""
    folder = tmp_path / "half"
    folder.mkdir()
    for file in checkpoint("llama").iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    network, _ = load_model(checkpoint("llama"))
    network.set_dtype(mx.bfloat16)
    save_model(folder, network)
    return folder


def bring_in(folder: Path, memory: int | None) -> tuple[LanguageModel, Loaded]:
    order = Load(path=str(folder), name="x", kind="llm", max_batch=8, prefill_tokens_per_step=64, memory_limit=memory)
    return load(order)


def dtypes(model: LanguageModel) -> set[mx.Dtype]:
    return {array.dtype for _, array in tree_flatten(model.network.parameters())}


def test_half_precision_is_computed_in_float32_without_changing_a_weight(half: Path) -> None:
    model, told = bring_in(half, None)
    stored = dict(tree_flatten(load_model(half)[0].parameters()))
    assert dtypes(model) == {mx.float32}
    for name, array in tree_flatten(model.network.parameters()):
        assert mx.array_equal(array.astype(mx.bfloat16), stored[name]), name
    # What is in memory is what counts, and caches take the wide values too.
    assert told.weight_bytes == 2 * sum(array.nbytes for array in stored.values())
    assert told.kv_bytes_per_token == 3 * 2 * 2 * 16 * 4


def test_without_room_for_float32_the_weights_stay_as_they_are(half: Path) -> None:
    size = sum(file.stat().st_size for file in half.glob("*.safetensors"))
    assert dtypes(bring_in(half, 3 * size)[0]) == {mx.bfloat16}
    assert dtypes(bring_in(half, 5 * size)[0]) == {mx.float32}


@pytest.mark.parametrize(
    ("bits", "group", "mode"),
    [
        *((bits, 32, "affine") for bits in (2, 3, 4, 6, 8)),
        *((4, 32, "mxfp4"), (8, 32, "mxfp8"), (4, 16, "nvfp4")),
    ],
)
def test_packed_weights_are_unpacked_where_they_have_room(
    half: Path, tmp_path: Path, bits: int, group: int, mode: str
) -> None:
    """The very values that the packed layers multiply with, and the same logits; the model says so."""
    packed = tmp_path / "packed"
    convert(str(half), str(packed), quantize=True, q_bits=bits, q_group_size=group, q_mode=mode)
    model, told = bring_in(packed, None)
    assert dtypes(model) == {mx.float32} and told.precision == "float32"
    original, _ = load_model(packed)
    tokens = mx.array([[1, 2, 3, 4]])
    original.set_dtype(mx.float32, lambda dtype: dtype in (mx.bfloat16, mx.float16))
    expected = original(tokens)
    assert mx.abs(model.network(tokens) - expected).max() <= 1e-4 * mx.abs(expected).max()
    plain = tree_flatten(bring_in(half, None)[0].network.parameters())
    assert told.weight_bytes == sum(array.size * 4 for _, array in plain)


def test_without_room_packed_weights_stay_packed_and_their_scales_widen(half: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    convert(str(half), str(packed), quantize=True, q_bits=4, q_group_size=32, dtype="bfloat16")
    unpacked = bring_in(packed, None)[1].weight_bytes
    model, told = bring_in(packed, 2 * unpacked - 2)
    assert dtypes(model) == {mx.uint32, mx.float32} and told.precision == ""
    assert bring_in(packed, 2 * unpacked)[1].precision == "float32"
    size = sum(file.stat().st_size for file in packed.glob("*.safetensors"))
    assert dtypes(bring_in(packed, size)[0]) == {mx.uint32, mx.bfloat16}


def test_experts_are_unpacked_too(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """A mixture of experts keeps one packed tensor for all of them."""
    convert(str(checkpoint("qwen3_moe")), str(tmp_path / "packed"), quantize=True, q_bits=8, q_group_size=32)
    model, told = bring_in(tmp_path / "packed", None)
    assert told.precision == "float32" and dtypes(model) == {mx.float32}
    original, _ = load_model(tmp_path / "packed")
    tokens = mx.array([[1, 2, 3, 4]])
    expected = original(tokens)
    assert mx.abs(model.network(tokens) - expected).max() <= 1e-4 * mx.abs(expected).max()


def test_reading_takes_memory_for_one_weight_beside_those_that_are_wide(tmp_path: Path) -> None:
    """Not for half of all weights again, which a machine that just has room for them would not have."""
    layers, size = 32, 256
    file, rows = str(tmp_path / "half.safetensors"), mx.ones((size, size), mx.bfloat16)
    mx.save_safetensors(file, {f"layers.{place}.weight": rows for place in range(layers)})
    network = nn.Sequential(*(nn.Linear(size, size, bias=False) for _ in range(layers)))
    network.load_weights(file)
    widen(network, None)
    mx.clear_cache()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    read_weights(network)
    wide = 4 * size * size
    assert mx.get_active_memory() - before >= layers * wide
    assert mx.get_peak_memory() - before <= (layers + 2) * wide
