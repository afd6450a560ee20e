"""Layers take our products for few rows and nothing else, and only where they compute what MLX does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model

from mlx_serve.daemon.engine.cuda import kernels as kernels_module
from mlx_serve.daemon.engine.cuda import nvrtc
from mlx_serve.daemon.engine.cuda.cubins import STAND_IN, Cubins
from mlx_serve.daemon.engine.cuda.dequantizing_layers import (
    DequantizingEmbedding,
    DequantizingLinear,
    use_dequantized,
)
from mlx_serve.daemon.engine.cuda.kernels import Kernels
from mlx_serve.daemon.engine.cuda.nvrtc import CompilerError
from mlx_serve.daemon.engine.cuda.product_layers import (
    FewRowsLinear,
    FewRowsQuantizedEmbedding,
    FewRowsQuantizedLinear,
)
from mlx_serve.daemon.engine.cuda.product_source import dense, quantized
from mlx_serve.daemon.engine.cuda.products import MOST_ROWS, ROW_TILES, Products, output_tiles, row_tiles
from mlx_serve.daemon.engine.kernels.trial_results import TrialResults
from mlx_serve.daemon.engine.model import compiled_layers, trial
from mlx_serve.daemon.engine.model.forward import BatchedForward
from mlx_serve.daemon.engine.model.inputs import Inputs
from mlx_serve.daemon.engine.model.trial import compiled_works, kernels_work


class Computed(Products):
    """What the kernels give, by MLX's own products, times `factor`; `seen` are the rows of each."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor
        self.seen: list[int] = []

    def dense(self, x: mx.array, weight: mx.array) -> mx.array:
        self.seen.append(x.size // x.shape[-1])
        return x @ weight.T * self.factor

    def quantized(
        self, x: mx.array, weight: mx.array, scales: mx.array, biases: mx.array, *, bits: int, group: int
    ) -> mx.array:
        self.seen.append(x.size // x.shape[-1])
        return mx.quantized_matmul(x, weight, scales, biases, transpose=True, group_size=group, bits=bits) * self.factor

    def prepare_dense(self, dtype: mx.Dtype) -> None:
        pass

    def prepare_quantized(self, dtype: mx.Dtype, outputs: int, bits: int, group: int) -> None:
        pass


def half(layer: nn.Module) -> Any:
    """As it is once a network's weights are in memory."""
    layer.set_dtype(mx.bfloat16)
    use_dequantized(layer)
    return layer


def test_layers_take_them_for_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """From two rows to MOST_ROWS, of whatever shape, of the weights' own type; the bias is added, arrays stay."""
    products = Computed()
    plain = [half(nn.Linear(64, 48)), half(nn.Linear(64, 48, bias=False)), half(nn.QuantizedLinear(64, 48, bits=8))]
    network = nn.Sequential(*plain)
    before = dict(tree_flatten(network.parameters()))
    xs = [mx.random.normal(shape).astype(mx.bfloat16) for shape in ((1, 64), (2, 1, 64), (MOST_ROWS, 64), (65, 64))]
    expected = [[np.array(layer(x).astype(mx.float32)) for x in xs] for layer in plain]
    assert Kernels(products).install(network) == 3
    assert [type(layer) for layer in plain] == [FewRowsLinear, FewRowsLinear, FewRowsQuantizedLinear]
    assert {name: id(array) for name, array in tree_flatten(network.parameters())} == {
        name: id(array) for name, array in before.items()
    }
    for layer, results in zip(plain, expected, strict=True):
        for x, result in zip(xs, results, strict=True):
            np.testing.assert_allclose(np.array(layer(x).astype(mx.float32)), result, atol=0.05)
    assert products.seen == [2, MOST_ROWS] * 3
    plain[0](xs[1].astype(mx.float32))
    assert len(products.seen) == 6
    Kernels(products).remove(network)
    assert [type(layer) for layer in plain] == [nn.Linear, nn.Linear, DequantizingLinear]
    assert not any("products" in vars(layer) for layer in plain)


def test_a_quantized_embedding_takes_them_where_it_is_the_output_layer() -> None:
    """Many models have one array for both; looking tokens up stays as it is, and so do prompts and single rows."""
    products, embedding = Computed(factor=2.0), half(nn.QuantizedEmbedding(48, 64, bits=4))
    before = mx.array([3, 1])
    rows, looked_up = embedding(before), embedding.as_linear(mx.eye(64, dtype=mx.bfloat16)[:3])
    assert Kernels(products).install(nn.Sequential(embedding)) == 1
    assert type(embedding) is FewRowsQuantizedEmbedding
    assert mx.array_equal(embedding(before), rows)
    for shape, factor in (((1, 1, 64), 1), ((2, 1, 64), 2), ((3, 64), 2), ((1, MOST_ROWS, 64), 2), ((1, 65, 64), 1)):
        x = mx.broadcast_to(mx.eye(64, dtype=mx.bfloat16)[:1], shape)
        expected = looked_up[0].astype(mx.float32) * factor
        np.testing.assert_allclose(
            np.array(embedding.as_linear(x).astype(mx.float32)[..., -1, :]).reshape(-1, 48)[0],
            np.array(expected),
            atol=0.02,
        )
    assert products.seen == [2, 3, MOST_ROWS]
    Kernels(products).remove(nn.Sequential(embedding))
    assert type(embedding) is DequantizingEmbedding and "products" not in vars(embedding)


def test_layers_that_no_kernel_can_compute_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    large = nn.Linear(64, 48, bias=False)
    large.weight = mx.zeros((5000, 4096), dtype=mx.bfloat16)
    layers = [
        nn.Linear(64, 48),  # float32
        half(nn.Linear(60, 48)),  # rows of which not all begin where 16 bytes can be read
        large,
        half(nn.QuantizedLinear(64, 48, bits=3)),
        nn.QuantizedLinear(64, 48),  # scales of float32
        nn.QuantizedLinear(64, 48, group_size=32, bits=4, mode="mxfp4"),
        half(nn.Embedding(64, 48)),
        nn.QuantizedEmbedding(64, 64),  # scales of float32
        half(nn.QuantizedEmbedding(64, 64, bits=3)),
    ]
    use_dequantized(nn.Sequential(*layers))
    kinds = [type(layer) for layer in layers]
    assert Kernels(Computed()).install(nn.Sequential(*layers)) == 0
    assert [type(layer) for layer in layers] == kinds


def test_every_number_of_rows_has_a_kernel() -> None:
    for rows in range(2, MOST_ROWS + 1):
        tiles = row_tiles(mx.zeros((rows, 1, 8)))
        assert rows <= 8 * tiles <= 2 * max(8, rows)
        assert output_tiles(1024, tiles) in (1, 2)
        for code in (dense("bf16", tiles, 1), quantized("f16", tiles, 2, 4, 64), quantized("bf16", tiles, 1, 8, 128)):
            assert code.count("{") == code.count("}") and "KIND" not in code.replace("KERNEL", "")


def test_all_that_layers_may_ask_for_is_compiled_beside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """On a thread that computes nothing: each form of layer once for each number of rows, and no more when it comes. A
    compiler that fails is told of, and nothing else fails."""
    compiled: list[str] = []

    def compile_source(source: str, architecture: str) -> bytes:
        compiled.append(source)
        return source.encode()

    monkeypatch.setattr(nvrtc, "compile_source", compile_source)
    monkeypatch.setattr(nvrtc, "version", lambda: "13.0")
    layers = [half(nn.Linear(64, 48)), half(nn.Linear(64, 32)), *(half(nn.QuantizedLinear(64, 48)) for _ in range(2))]
    network, products = nn.Sequential(*layers), Products(Cubins(tmp_path))
    kernels = Kernels(products)
    assert kernels.install(network) == 4
    kernels.prepare(network).join()
    assert len(compiled) == len(set(compiled)) == 2 * len(ROW_TILES)
    calls: list[Any] = []
    monkeypatch.setattr(mx.fast, "precompiled_cuda_kernel", lambda **call: calls.append(call) or [mx.zeros((1,))])
    for rows in range(2, MOST_ROWS + 1):
        for layer in layers[1:]:
            layer(mx.zeros((rows, 64), dtype=mx.bfloat16))
    assert len(compiled) == 2 * len(ROW_TILES) and len(calls) == 3 * (MOST_ROWS - 1)
    assert {call["compiled_source"] for call in calls} == {STAND_IN}

    def failing(source: str, architecture: str) -> bytes:
        raise CompilerError("out of memory")

    monkeypatch.setattr(nvrtc, "compile_source", failing)
    failed = Kernels(Products(Cubins()))
    failed.prepare(network).join()
    assert capfd.readouterr().err == "use own kernels: out of memory\n"


@pytest.fixture
def network(checkpoint: Callable[[str], Path]) -> Any:
    found, _ = load_model(checkpoint("qwen3"))
    found.set_dtype(mx.bfloat16)
    return found


def step(network: Any, rows: int = 3) -> np.ndarray[Any, Any]:
    forward = BatchedForward(network, 0)
    for row in range(rows):
        caches = make_prompt_cache(network)
        network(mx.arange(5 + row)[None], cache=caches)
        forward.join(caches, [(0, 5 + row)])
    return np.array(forward(Inputs(mx.ones((rows, 1), dtype=mx.int32))).astype(mx.float32))


def test_a_network_uses_them_where_they_give_the_same(network: Any) -> None:
    """Within compiled layers as well; one row goes as before."""
    products = Computed()
    expected = step(network)
    assert kernels_work(network, Kernels(products), ragged=False)
    assert compiled_works(network, ragged=False)
    products.seen.clear()
    np.testing.assert_allclose(step(network), expected, atol=0.02 * np.abs(expected).max())
    assert set(products.seen) == {5, 6, 7, 3}  # prompts so short are few rows too
    compiled_layers.undo(network)


def test_wrong_ones_are_not_used(network: Any) -> None:
    expected = step(network)
    kinds = [type(module) for module in network.modules()]
    assert not kernels_work(network, Kernels(Computed(1.5)), ragged=False)
    assert [type(module) for module in network.modules()] == kinds
    np.testing.assert_array_equal(step(network), expected)


def test_what_works_is_found_out_once(
    network: Any, checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On CUDA: the first load compares, the next one only installs them."""
    again, _ = load_model(checkpoint("qwen3"))
    again.set_dtype(mx.bfloat16)
    compared = []

    def noted(*arguments: Any, **options: Any) -> bool:
        compared.append(kernels_work(*arguments, **options))
        return compared[-1]

    monkeypatch.setattr(trial, "kernels_work", noted)
    monkeypatch.setattr(trial, "backend", lambda: "cuda")
    monkeypatch.setattr(trial.Kernels, "found", classmethod(lambda cls: Kernels(Computed())))
    for one in (network, again):
        trial.try_out(one, {}, 64, TrialResults(tmp_path / "trials"))
        assert any(isinstance(module, FewRowsLinear) for module in one.modules())
        compiled_layers.undo(one)
    assert compared == [True]


@pytest.mark.parametrize("problem", ["no compiler", "not found", "wrong"])
def test_a_machine_without_them_serves_as_before(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], problem: str
) -> None:
    """The log says why. Where MLX does not find what stands on disk, the code itself is tried."""
    tried: list[Path | None] = []

    class Failing(Computed):
        def __init__(self, cubins: Path | None) -> None:
            super().__init__()
            tried.append(cubins)

        def dense(self, x: mx.array, weight: mx.array) -> mx.array:
            if problem == "no compiler":
                raise CompilerError("MLX has not loaded it")
            if problem == "not found" and tried[-1] is not None:
                raise RuntimeError("Failed to load compiled kernel")
            return super().dense(x, weight) * (1.5 if problem == "wrong" else 1.0)

    monkeypatch.setattr(kernels_module, "Products", Failing)
    monkeypatch.setattr(kernels_module, "Cubins", lambda folder=None: folder)
    found = Kernels.found({"MLX_PTX_CACHE_DIR": "/ptx"})
    assert tried == [Path("/ptx"), None]
    assert (found is not None) == (problem == "not found")
    said = capfd.readouterr().err
    assert said.startswith("use own kernels: ") == (problem != "not found") and said.count("\n") <= 1
