"""A function of arrays by the graph that it has made once: what `mx.compile` is on a GPU, without a compiler.

On Linux CPUs MLX compiles what it fuses with the machine's C++ compiler, most of a second a kernel and a dozen kernels
a model, before the first answer. A function that is exported (`mx.export_function`) and imported is the graph alone:
Python does not build it again, and nothing is fused (docs/performance.md has what either gains).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlx.core as mx

Argument = mx.array | list[mx.array]


class Replayed:
    """Called with arrays, and with lists of them whose lengths and shapes are always the same. Gives a list of arrays.
    The function runs once for each combination of shapes and types of the arrays."""

    def __init__(self, function: Callable[..., Sequence[mx.array]]) -> None:
        self._function = function
        self._graphs: dict[tuple[Any, ...], Callable[..., list[mx.array]]] = {}

    def __call__(self, *arguments: Argument) -> list[mx.array]:
        key: list[Any] = []
        flat: list[mx.array] = []
        for argument in arguments:
            if isinstance(argument, list):
                flat += argument
            else:
                key += (argument.shape, argument.dtype)
                flat.append(argument)
        graph = self._graphs.get(tuple(key))
        if graph is None:
            graph = self._graphs[tuple(key)] = self._recorded(arguments, flat)
        return graph(*flat)

    def _recorded(self, arguments: Sequence[Argument], flat: list[mx.array]) -> Callable[..., list[mx.array]]:
        sizes = [len(one) if isinstance(one, list) else None for one in arguments]

        def apart(*arrays: mx.array) -> list[mx.array]:
            left = iter(arrays)
            return list(self._function(*(_take(left, size) for size in sizes)))

        with _file() as path:
            mx.export_function(path, apart, *flat)
            graph: Any = mx.import_function(path)
        return graph  # type: ignore[no-any-return]


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
