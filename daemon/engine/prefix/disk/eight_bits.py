"""Keys and values in 8 bits: neighbouring tokens share a scale and a least value in each channel of a head. No MLX.

A packed tensor is, one after another and row-major: the scale of each group (heads, groups, width; float32), its least
value (the same), and a byte for each value (heads, tokens, width). A value is about `least + scale * byte`; it is off
by half a scale at most, which is a 510th of the range of its group, and by what its own type rounds. Groups are of 64
tokens, the last one of what is left: keys differ more from channel to channel than from token to token (KIVI, arXiv
2402.02750, section 3), and a processor compares rows much faster than what is within them.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np
from numpy.typing import NDArray

from .tensor import Tensor

BITS = 8
GROUP = 64
_HEAD = 8  # bytes of a scale and a least value
_LEVELS = 255
_REAL = ("float16", "bfloat16", "float32")

Reals = NDArray[np.float32]


def packed_bytes(tensor: Tensor, group: int) -> int:
    rows, tokens, width = _matrix(tensor)
    return rows * width * (tokens - (-tokens // group) * _HEAD)


def pack(tensor: Tensor, data: bytes | memoryview) -> tuple[int, bytes | memoryview]:
    """The size of its groups and what is stored; 0 and the data where these are no numbers with a fraction, or some of
    them are not finite."""
    if tensor.dtype not in _REAL or len(tensor.shape) < 2:
        return 0, data
    values = _reals(tensor.dtype, np.frombuffer(data, np.uint8)).reshape(_matrix(tensor))
    stored = np.empty(packed_bytes(tensor, GROUP), np.uint8)
    scale, least, codes = _pieces(tensor, GROUP, stored)
    with np.errstate(over="ignore", invalid="ignore"):
        for groups, block in _groups(values, GROUP):
            least[:, groups] = block.min(axis=2)
            scale[:, groups] = (block.max(axis=2) - least[:, groups]) / np.float32(_LEVELS)
    if not np.isfinite(scale).all():
        return 0, data
    divisor = np.where(scale == 0, np.float32(1), scale)
    for groups, block in _groups(values, GROUP):
        block -= least[:, groups, None]
        block /= divisor[:, groups, None]
    np.rint(values, out=values)
    np.minimum(values, _LEVELS, out=values)
    np.copyto(codes, values, casting="unsafe")
    return GROUP, stored.data


def unpack(tensor: Tensor, group: int, stored: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
    """Into the bytes of a tensor, whose rows need not be neighbours."""
    scale, least, codes = _pieces(tensor, group, stored)
    values = codes.astype(np.float32)
    for groups, block in _groups(values, group):
        block *= scale[:, groups, None]
        block += least[:, groups, None]
    if tensor.dtype == "bfloat16":
        target.view(np.uint16)[:] = _rounded(values).reshape(len(target), -1)
    else:
        target.view(tensor.dtype)[:] = values.reshape(len(target), -1)


def _matrix(tensor: Tensor) -> tuple[int, int, int]:
    """Heads, tokens and width."""
    return prod(tensor.shape[:-2]), tensor.shape[-2], tensor.shape[-1]


def _pieces(tensor: Tensor, group: int, stored: NDArray[np.uint8]) -> tuple[Reals, Reals, NDArray[np.uint8]]:
    """Scales, least values and bytes, where they are stored."""
    rows, tokens, width = _matrix(tensor)
    groups = -(-tokens // group)
    size = 4 * rows * groups * width
    scale = stored[:size].view("<f4").reshape(rows, groups, width)
    least = stored[size : 2 * size].view("<f4").reshape(rows, groups, width)
    return scale, least, stored[2 * size :].reshape(rows, tokens, width)


def _groups(values: Reals, group: int) -> Iterator[tuple[slice, Reals]]:
    """Which groups, and their values (heads, groups, tokens of a group, width), in the memory of all: the whole ones,
    and the last one."""
    rows, tokens, width = values.shape
    whole = tokens // group
    if whole:
        yield slice(0, whole), values[:, : whole * group].reshape(rows, whole, group, width)
    if tokens % group:
        yield slice(whole, whole + 1), values[:, None, whole * group :]


def _reals(dtype: str, data: NDArray[np.uint8]) -> Reals:
    """A copy."""
    if dtype == "bfloat16":
        return (data.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
    return data.view(dtype).astype(np.float32)


def _rounded(values: Reals) -> NDArray[np.uint16]:
    """Finite numbers as bfloat16, the nearest, ties to even."""
    bits = values.view(np.uint32)
    bits += np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (bits >> np.uint32(16)).astype(np.uint16)
