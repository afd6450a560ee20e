"""Token states to one vector a row, as Sentence Transformers' Pooling, Dense and Normalize do, in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from ..encode.activations import activation
from ..encode.open import tensors
from ..encode.padding import Padded
from ..model.model_folder import BadModel
from .recipe import Projection

SMALLEST = 1e-12  # of a norm, as torch.nn.functional.normalize has it

Pool = Callable[[mx.array, mx.array, mx.array, mx.array], mx.array]


def pool(modes: Sequence[str], states: mx.array, rows: Padded, skips: Sequence[int]) -> mx.array:
    """(rows, hidden times modes). `skips`: so many tokens at the front of each row are left out."""
    states = states.astype(mx.float32)
    begins = mx.array(list(skips), mx.int32)
    places = mx.arange(rows.width)
    pooled = (places < rows.lengths[:, None]) & (places >= begins[:, None])
    return mx.concatenate([_POOLS[mode](states, pooled, begins, rows.lengths) for mode in modes], axis=-1)


def _cls(states: mx.array, pooled: mx.array, begins: mx.array, lengths: mx.array) -> mx.array:
    return _at(states, mx.minimum(begins, lengths - 1))


def _last(states: mx.array, pooled: mx.array, begins: mx.array, lengths: mx.array) -> mx.array:
    return _at(states, lengths - 1)


def _max(states: mx.array, pooled: mx.array, begins: mx.array, lengths: mx.array) -> mx.array:
    return mx.max(mx.where(pooled[..., None], states, -mx.inf), axis=1)


def _mean(states: mx.array, pooled: mx.array, begins: mx.array, lengths: mx.array) -> mx.array:
    return _sum(states, pooled) / _count(pooled)


def _mean_sqrt(states: mx.array, pooled: mx.array, begins: mx.array, lengths: mx.array) -> mx.array:
    return _sum(states, pooled) / mx.sqrt(_count(pooled))


def _weighted(states: mx.array, pooled: mx.array, begins: mx.array, lengths: mx.array) -> mx.array:
    """Later tokens weigh more: by their place, counted from one."""
    weights = pooled * mx.arange(1, states.shape[1] + 1).astype(mx.float32)
    return _sum(states, weights) / mx.maximum(mx.sum(weights, axis=1, keepdims=True), 1e-9)


def _sum(states: mx.array, weights: mx.array) -> mx.array:
    """As a product of matrices: (rows, 1, width) with (rows, width, hidden)."""
    return (weights.astype(mx.float32)[:, None] @ states)[:, 0]


def _count(pooled: mx.array) -> mx.array:
    return mx.maximum(mx.sum(pooled.astype(mx.float32), axis=1, keepdims=True), 1e-9)


def _at(states: mx.array, places: mx.array) -> mx.array:
    return mx.take_along_axis(states, places[:, None, None], axis=1)[:, 0]


_POOLS: dict[str, Pool] = {
    "cls": _cls,
    "lasttoken": _last,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt,
    "weightedmean": _weighted,
}


class Dense:
    """A dense layer after the pooling, in float32."""

    def __init__(self, spec: Projection) -> None:
        """Raises BadModel, ValueError and what MLX raises."""
        path = spec.folder / "model.safetensors"
        if not path.exists():
            raise BadModel(f"{spec.folder.name}/model.safetensors is missing")
        weights = {name: weight.astype(mx.float32) for name, weight in tensors(path).items()}
        self.weight = weights["linear.weight"]
        self.bias = weights["linear.bias"] if spec.bias else None
        self._activation = activation(spec.activation)

    def __call__(self, x: mx.array) -> mx.array:
        x = x @ self.weight.T
        return self._activation(x if self.bias is None else x + self.bias)

    @property
    def nbytes(self) -> int:
        return int(self.weight.nbytes + (self.bias.nbytes if self.bias is not None else 0))


def dense_layers(specs: Sequence[Projection]) -> list[Dense]:
    return [Dense(spec) for spec in specs]


def normalized(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row of length one."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, SMALLEST), np.float32)
