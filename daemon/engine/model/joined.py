"""Linear layers that read the same input become one product: queries, keys and values, or an MLP's gate and its other
half.

A step of few rows is bound by how many operations are dispatched, and one wide product takes about as long as one of
its parts. Which layers read the same input is seen in a dry run, so no architecture is known here by name, and its code
stays as it is: each of the layers is replaced by a `Part`, and the first one that is called computes for all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import make_prompt_cache

DRY_TOKENS = (2, 1)
"""Widths of the dry runs: some architectures have other code for a single token."""


class Part:
    """What one of the joined layers would give for an input: (…, features in) to (…, its features out)."""

    def __init__(self, product: _Product, place: int) -> None:
        self._product = product
        self._place = place

    def __call__(self, x: mx.array) -> mx.array:
        return self._product.take(self._place, x)

    @property
    def form(self) -> tuple[int, ...]:
        """Equal for parts that take the same features of products alike."""
        return self._place, *self._product.ends


class _Product:
    """The layer that has the weights of all, and what its last product still owes to the parts."""

    def __init__(self, layer: Any, widths: list[int]) -> None:
        self._layer = layer
        self.ends = [sum(widths[: place + 1]) for place in range(len(widths) - 1)]
        self._input: mx.array | None = None
        self._outputs: dict[int, mx.array] = {}

    def take(self, place: int, x: mx.array) -> mx.array:
        if self._input is not x or place not in self._outputs:
            self._input = x
            self._outputs = dict(enumerate(mx.split(self._layer(x), self.ends, axis=-1)))
        output = self._outputs.pop(place)
        if not self._outputs:
            self._input = None
        return output


class _Recorder:
    """Stands in for a layer during a dry run and notes what it was given, and whether it was only called."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.inputs: list[mx.array] = []
        self.read = False

    def __call__(self, x: mx.array) -> mx.array:
        self.inputs.append(x)
        output: mx.array = self.layer(x)
        return output

    def __getattr__(self, name: str) -> Any:
        self.read = True
        return getattr(self.layer, name)


def join(network: Any) -> int:
    """Join what can be joined, in place; gives how many layers were put together with others. A network that cannot be
    called with tokens alone stays as it is.

    Nothing is computed but the new weights, each group by itself, so that at most one group is twice in memory.
    """
    try:
        groups = list(_groups(network))
    except (TypeError, ValueError, AttributeError, RuntimeError):
        return 0
    count = 0
    for module, names in groups:
        layers = [module[name] for name in names]
        joined = _concatenated(layers)
        product = _Product(joined, [layer.weight.shape[0] for layer in layers])
        module[f"joined_{'_'.join(names)}"] = joined
        for place, name in enumerate(names):
            setattr(module, name, Part(product, place))
        del layers
        mx.eval(joined.parameters())
        count += len(names)
    return count


def _groups(network: Any) -> Iterator[tuple[Any, list[str]]]:
    """Modules, each with the names of those of its layers that read the same input and can be joined."""
    recorders = _dry_run(network)
    for module, named in recorders:
        alike: dict[tuple[Any, ...], list[str]] = defaultdict(list)
        for name, recorder in named.items():
            if recorder.inputs and not recorder.read:
                alike[(*map(id, recorder.inputs), *_form(recorder.layer))].append(name)
        for names in alike.values():
            if len(names) > 1:
                yield module, names


def _dry_run(network: Any) -> list[tuple[Any, dict[str, _Recorder]]]:
    """Every module that has layers of its own, with a recorder of each. Builds graphs and evaluates none of them."""
    found: list[tuple[Any, dict[str, _Recorder]]] = []
    for _, module in network.named_modules():
        named = {name: _Recorder(child) for name, child in module.items() if type(child) in _CLASSES}
        if len(named) > 1:
            found.append((module, named))
    for module, named in found:
        for name, recorder in named.items():
            setattr(module, name, recorder)
    try:
        for tokens in DRY_TOKENS:
            network(mx.zeros((1, tokens), dtype=mx.int32), cache=make_prompt_cache(network))
    finally:
        for module, named in found:
            for name, recorder in named.items():
                delattr(module, name)
                module[name] = recorder.layer
    return found


_CLASSES: tuple[type, ...] = (nn.Linear, nn.QuantizedLinear)


def _form(layer: Any) -> tuple[Any, ...]:
    """What two layers must have in common."""
    arrays = tuple((name, array.dtype, array.shape[1:]) for name, array in sorted(layer.items()))
    options = tuple(getattr(layer, name, None) for name in ("group_size", "bits", "mode"))
    return type(layer), arrays, options


def _concatenated(layers: list[Any]) -> Any:
    """One layer that gives what these give, one after the other along the last axis."""
    first = layers[0]
    kind: Any = type(first)
    joined = kind.__new__(kind)
    nn.Module.__init__(joined)
    for name in ("group_size", "bits", "mode"):
        if hasattr(first, name):
            setattr(joined, name, getattr(first, name))
    for name in first:
        joined[name] = mx.concatenate([layer[name] for layer in layers])
    joined.freeze()
    return joined
