"""Arrays made into bytes of a file in 8 bits, and back."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from mlx_serve.daemon.engine.prefix.disk.block_bytes import flat, view
from mlx_serve.daemon.engine.prefix.disk.eight_bits import GROUP, pack, unpack
from mlx_serve.daemon.engine.prefix.disk.tensor import Tensor


def tensor_of(array: mx.array) -> Tensor:
    return Tensor(str(array.dtype).rpartition(".")[2], tuple(array.shape))


def to_bytes(array: mx.array) -> bytes:
    return bytes(view(flat(array)))


def of_bytes(tensor: Tensor, stored: bytes | memoryview) -> mx.array:
    """What a packed tensor comes back as."""
    target = np.empty((1, tensor.nbytes), np.uint8)
    unpack(tensor, GROUP, np.frombuffer(stored, np.uint8), target)
    return mx.array(target[0]).view(getattr(mx, tensor.dtype)).reshape(tensor.shape)


def back(array: mx.array) -> mx.array:
    """What comes back of an array that can be packed."""
    group, stored = pack(tensor_of(array), to_bytes(array))
    assert group
    return of_bytes(tensor_of(array), stored)
