"""What MLX has for the processor is exchanged for what is faster, by the names that models call.

They choose their way by an array's size, so a function that MLX compiles for all shapes (`shapeless`) cannot hold them;
in a model's process on a CPU none is compiled so (`serve.live`).
"""

from __future__ import annotations

import mlx.core as mx

from ..device import backend
from ..kernels.elementwise import Elementwise
from .block_attention import Attention
from .exponentials import LOGISTIC, POWER, Sigmoid, pay
from .few_rows import rows_that_pay
from .rotation import Rotation


def install_for_cpu() -> None:
    """In this process, once, where MLX computes on the processor and it pays on this one. What layers of a model will
    ask about this processor is measured here too, for nobody waits yet."""
    if backend() != "cpu":
        return
    rows_that_pay()
    if isinstance(mx.sigmoid, Sigmoid) or not pay():
        return
    mx.sigmoid = Sigmoid(mx.sigmoid)
    mx.fast.scaled_dot_product_attention = Attention(mx.fast.scaled_dot_product_attention)
    mx.fast.rope = Rotation(mx.fast.rope)  # type: ignore[assignment]


def functions() -> list[Elementwise]:
    """Those of the exchanged that are faster once they are fused."""
    return [POWER, LOGISTIC] if isinstance(mx.sigmoid, Sigmoid) else []
