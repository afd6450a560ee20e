"""A function of arrays by the graph that it has made once: what `mx.compile` is on a GPU, without a compiler.

On Linux CPUs MLX compiles what it fuses with the machine's C++ compiler, most of a second a kernel and a dozen kernels
a model, before the first answer. A function that is exported (`mx.export_function`) and imported is the graph alone:
Python does not build it again, and nothing is fused. Once all kernels are there, which are compiled while the model
rests (`kernels.fusing`), the functions are fused (docs/performance.md has what either gains).
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from ..kernels.fused import Argument, Fused

CLOSE = 0.05
"""How far what is fused may be from what is replayed, as a part of the greatest number: half precision's noise."""
_Key = tuple[Any, ...]


@dataclass(frozen=True)
class _Form:
    """What an array was like, without what it held."""

    shape: tuple[int, ...]
    dtype: mx.Dtype

    def made_up(self, rows: int) -> mx.array:
        """One with so many rows and numbers that are the same each time: positions are small."""
        shape = (rows, *self.shape[1:])
        if mx.issubdtype(self.dtype, mx.integer):
            return mx.full(shape, rows, dtype=self.dtype)
        return mx.random.normal(shape, dtype=self.dtype, key=mx.random.key(rows))


class Replayed:
    """Called with arrays, and with lists of them whose lengths and shapes are always the same. Gives a list of arrays.
    The function runs once for each combination of shapes and types of the arrays. To be fused, these have to have a row
    each along their first axis, or be int32 of shape (rows,), which are positions."""

    def __init__(self, function: Callable[..., Sequence[mx.array]]) -> None:
        self._function = function
        self._graphs: dict[_Key, Callable[..., list[mx.array]]] = {}
        self._example: list[list[mx.array] | _Form] = []
        self._attempted: dict[_Key, Fused] = {}
        self._fused: dict[_Key, Fused] = {}

    def __call__(self, *arguments: Argument) -> list[mx.array]:
        key = _key(arguments)
        if (fused := self._fused.get(key)) is not None:
            try:
                return fused(*arguments)
            except RuntimeError as error:  # only with what is proven first: a kernel is missing, against expectation
                self._fused = {}
                sys.stderr.write(f"replay decode steps again: {' '.join(str(error).split())[:300]}\n")
                sys.stderr.flush()
        return self._replay(key, arguments)

    @property
    def used(self) -> bool:
        """Whether it was called at all."""
        return bool(self._example)

    @property
    def fused(self) -> bool:
        """Whether it is computed fused where that was attempted."""
        return bool(self._fused)

    def attempt(self, rows: int) -> None:
        """Compute it, fused, with made-up arrays of so many rows. Raises RuntimeError where a kernel is missing, or
        computes something else. It has to have been called before, with any number of rows."""
        made_up = [one if isinstance(one, list) else one.made_up(rows) for one in self._example]
        key = _key(made_up)
        fused = Fused(self._function)
        found = fused(*made_up)
        if key in self._graphs:
            for one, other in zip(found, self._replay(key, made_up), strict=True):
                if not mx.abs(one - other).max() <= CLOSE * mx.abs(other).max():
                    raise RuntimeError("what is fused differs from what is not")
        self._attempted[key] = fused

    def use_fused(self) -> None:
        """From now on what was attempted is computed so. Call it between answers, not within one."""
        for fused in self._attempted.values():
            fused.proven = False  # once more, with what is computed really
        self._fused = self._attempted

    def _replay(self, key: _Key, arguments: Sequence[Argument]) -> list[mx.array]:
        flat: list[mx.array] = []
        for argument in arguments:
            if isinstance(argument, list):
                flat += argument
            else:
                flat.append(argument)
        graph = self._graphs.get(key)
        if graph is None:
            graph = self._graphs[key] = self._recorded(arguments, flat)
        return graph(*flat)

    def _recorded(self, arguments: Sequence[Argument], flat: list[mx.array]) -> Callable[..., list[mx.array]]:
        sizes = [len(one) if isinstance(one, list) else None for one in arguments]

        def apart(*arrays: mx.array) -> list[mx.array]:
            left = iter(arrays)
            return list(self._function(*(_take(left, size) for size in sizes)))

        with _file() as path:
            mx.export_function(path, apart, *flat)
            graph: Any = mx.import_function(path)
        self._example = [one if isinstance(one, list) else _Form(one.shape, one.dtype) for one in arguments]
        return graph  # type: ignore[no-any-return]


def _key(arguments: Sequence[Argument]) -> _Key:
    return tuple(part for one in arguments if not isinstance(one, list) for part in (one.shape, one.dtype))


@contextmanager
def _file() -> Iterator[str]:
    """The path of a file that is gone afterwards; on Linux it is in memory, for a disk may be full."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryDirectory(prefix="mlx-serve-graph-") as folder:
            yield str(Path(folder) / "graph.mlxfn")
        return
    descriptor = os.memfd_create("graph")
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _take(arrays: Any, size: int | None) -> Argument:
    """The next one, or so many of them."""
    return next(arrays) if size is None else [next(arrays) for _ in range(size)]


def replayed(function: Callable[..., Sequence[mx.array]]) -> Callable[..., Sequence[mx.array]]:
    """The function as a graph: compiled where that needs no C++ compiler."""
    on_cpu = mx.default_device() == mx.Device(mx.DeviceType.cpu)
    return Replayed(function) if on_cpu else mx.compile(function)
