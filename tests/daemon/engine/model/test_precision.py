"""Half precision on MLX's CPU backend: computed in float32 where it fits, with the very same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten
from mlx_lm.convert import convert
from mlx_lm.utils import load_model, save_model

from mlx_serve.daemon.engine.model.load import LanguageModel, load
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


def test_quantized_weights_stay_packed_and_their_scales_widen(half: Path, tmp_path: Path) -> None:
    convert(str(half), str(tmp_path / "packed"), quantize=True, q_bits=4, q_group_size=32)
    model, _ = bring_in(tmp_path / "packed", None)
    assert dtypes(model) == {mx.uint32, mx.float32}
