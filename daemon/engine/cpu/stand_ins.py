"""What MLX has for the processor is exchanged for what is faster, by the names that models call.

They choose their way by an array's size, so a function that MLX compiles for all shapes (`shapeless`) cannot hold them;
in a model's process on a CPU none is compiled so (`serve.live`).
"""

from __future__ import annotations

import mlx.core as mx

from ..device import backend
from .block_attention import Attention
from .exponentials import Sigmoid, pay


def install_for_cpu() -> None:
    """In this process, once, where MLX computes on the processor and it pays on this one."""
    if backend() != "cpu" or isinstance(mx.sigmoid, Sigmoid) or not pay():
        return
    mx.sigmoid = Sigmoid(mx.sigmoid)
    mx.fast.scaled_dot_product_attention = Attention(mx.fast.scaled_dot_product_attention)
