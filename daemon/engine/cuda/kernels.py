"""Our kernels for NVIDIA GPUs, as one thing that a network may use or not."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx

from . import product_layers
from .cubins import Cubins
from .nvrtc import CompilerError
from .products import Products

CLOSE = 0.02
"""How far a product may be from MLX's own, as a part of its greatest number: the noise of half precision."""


class Kernels:
    def __init__(self, products: Products) -> None:
        self._products = products

    @classmethod
    def found(cls, environ: Mapping[str, str] = os.environ) -> Kernels | None:
        """Those of this process, where MLX computes with CUDA; None where they cannot be compiled, or give something
        else, which the log says. Kernels are kept where `environ` tells MLX to keep its own."""
        folder = environ.get("MLX_PTX_CACHE_DIR")
        problem = ""
        for cubins in ([Cubins(Path(folder))] if folder else []) + [Cubins()]:
            products = Products(cubins)
            try:
                if _right(products):
                    return cls(products)
                problem = "a product is not what MLX computes"
            except (CompilerError, RuntimeError, AttributeError) as error:
                problem = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        _say(problem)
        return None

    def install(self, network: Any) -> int:
        """Let the layers of a network multiply few rows with them, in place; gives how many do."""
        return product_layers.use_products(network, self._products)

    def prepare(self, network: Any) -> threading.Thread:
        """On a thread, compile what its layers may ask for, once for a machine: so no answer waits for the compiler."""

        def compile_all() -> None:
            try:
                product_layers.prepare(network, self._products)
            except CompilerError as error:  # which a step that needs the kernel will meet too
                _say(str(error))

        thread = threading.Thread(target=compile_all, name="kernels", daemon=True)
        thread.start()
        return thread

    def remove(self, network: Any) -> None:
        """Make all its layers what they were."""
        product_layers.undo(network)


def _say(problem: str) -> None:
    sys.stderr.write(f"use own kernels: {problem}\n")
    sys.stderr.flush()


def _right(products: Products) -> bool:
    """Whether a small product comes out."""
    x, weight = (mx.random.normal((rows, 64), key=mx.random.key(rows)).astype(mx.bfloat16) for rows in (3, 40))
    ours, theirs = (one.astype(mx.float32) for one in (products.dense(x, weight), x @ weight.T))
    return bool(mx.abs(ours - theirs).max() <= CLOSE * mx.abs(theirs).max())
