"""What a file says of one tensor. No MLX."""

from __future__ import annotations

from math import prod

import msgspec

_DTYPES = {
    1: ("uint8", "int8"),
    2: ("uint16", "int16", "float16", "bfloat16"),
    4: ("uint32", "int32", "float32"),
    8: ("uint64", "int64"),
}
WIDTHS = {dtype: width for width, dtypes in _DTYPES.items() for dtype in dtypes}
"""Bytes of a value."""


class Tensor(msgspec.Struct, frozen=True, array_like=True):
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return WIDTHS[self.dtype] * prod(self.shape)
