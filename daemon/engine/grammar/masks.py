"""The tokens that the grammars of a batch let through, as the sampler takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import mlx.core as mx
import numpy as np


class Mask(Protocol):
    """What binds a sequence."""

    def fill(self, words: np.ndarray) -> None:
        """One bit for each token in int32 `words` of shape (1, vocabulary / 32), all ones before."""


def allowed(constraints: Sequence[Mask | None], vocabulary: int) -> mx.array | None:
    """Bool of shape (rows, vocabulary), True where a token may be drawn: everywhere in rows without a grammar. None:
    no row has one."""
    bound = [row for row, constraint in enumerate(constraints) if constraint is not None]
    if not bound:
        return None
    words = np.full((len(constraints), (vocabulary + 31) // 32), -1, dtype=np.int32)
    for row in bound:
        constraint = constraints[row]
        assert constraint is not None
        constraint.fill(words[row : row + 1])
    on_cpu = mx.default_device() == mx.Device(mx.DeviceType.cpu)
    return unpacked_by_host(words, vocabulary) if on_cpu else unpacked_by_device(words, vocabulary)


def unpacked_by_host(words: np.ndarray, vocabulary: int) -> mx.array:
    """The first bits of each row of int32 `words`, bool of shape (rows, vocabulary): a twelfth of what MLX's CPU
    backend takes for it."""
    bits = np.unpackbits(words.view(np.uint8), axis=-1, count=vocabulary, bitorder="little")
    return mx.array(bits.view(np.bool_))


def unpacked_by_device(words: np.ndarray, vocabulary: int) -> mx.array:
    """The same on a GPU, which is handed an eighth of the bytes."""
    packed = mx.array(words.view(np.uint32))
    bits = (packed[:, :, None] >> mx.arange(32, dtype=mx.uint32)) & 1
    return bits.astype(mx.bool_).reshape(len(words), -1)[:, :vocabulary]
