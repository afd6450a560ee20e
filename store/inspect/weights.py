"""Headers of safetensors files, fully checked, so that loading cannot fail on them; the weights are not read.

The format: https://github.com/huggingface/safetensors#format (length, JSON header, one contiguous buffer).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ..disk.filesystem import open_regular
from ..errors import DamagedModel

MAX_HEADER = 100 << 20
MAX_TENSORS = 200_000
_MAX_RANK = 32
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """One tensor of a header; `dtype` is safetensors' name."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


class _Entry(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


_header = msgspec.json.Decoder(dict[str, msgspec.Raw])
_entry = msgspec.json.Decoder(_Entry)
_metadata = msgspec.json.Decoder(dict[str, str] | None)  # MLX writes null where it was given none


def read_header(location: Path, name: str) -> dict[str, Tensor]:
    """The tensors of one file. Raises DamagedModel, naming `name`, when the header is inconsistent."""
    try:
        descriptor = open_regular(location, follow=True)
    except OSError as error:
        raise DamagedModel(f"{name} cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(descriptor).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(MAX_HEADER, size - 8):
            raise _damaged(name, "the file is shorter than its header says" if size >= 8 else "the file is truncated")
        header = file.read(length)
    try:
        entries = _header.decode(header)
        metadata = entries.pop("__metadata__", None)
        if metadata is not None:
            _metadata.decode(metadata)
        if len(entries) > MAX_TENSORS:
            raise _damaged(name, f"it has more than {MAX_TENSORS:,} tensors")
        tensors = {tensor: _entry.decode(raw) for tensor, raw in entries.items()}
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _damaged(name, f"the header is not valid ({str(error)[:120]})") from error
    _check(name, tensors, size - 8 - length)
    return {tensor: Tensor(entry.dtype, entry.shape) for tensor, entry in tensors.items()}


def read_headers(files: Mapping[str, Path]) -> dict[str, Tensor]:
    """The tensors of all weight files of one folder. Raises DamagedModel, also when two files hold the same tensor."""
    together: dict[str, Tensor] = {}
    for name, location in sorted(files.items()):
        tensors = read_header(location, name)
        twice = together.keys() & tensors.keys()
        if twice:
            raise _damaged(name, f"tensor {min(twice)!r} is in another file as well")
        together |= tensors
    if not together:
        raise DamagedModel("the weight files hold no tensors")
    return together


def _check(name: str, tensors: Mapping[str, _Entry], data: int) -> None:
    end = 0
    for tensor, entry in sorted(tensors.items(), key=lambda item: item[1].data_offsets):
        begin, stop = entry.data_offsets
        bits = _BITS.get(entry.dtype)
        if bits is None:
            raise _damaged(name, f"tensor {tensor[:100]!r} has the unknown dtype {entry.dtype[:20]!r}")
        if len(entry.shape) > _MAX_RANK or any(dimension < 0 for dimension in entry.shape):
            raise _damaged(name, f"tensor {tensor[:100]!r} has an invalid shape")
        if begin != end or stop < begin:
            raise _damaged(name, f"tensor {tensor[:100]!r} does not begin where the previous one ends")
        if math.prod(entry.shape) * bits != (stop - begin) * 8:
            raise _damaged(name, f"tensor {tensor[:100]!r} has a size that does not match its shape")
        end = stop
    if end != data:
        raise _damaged(name, f"its header describes {end} bytes of weights, but it has {data}")


def _damaged(name: str, what: str) -> DamagedModel:
    return DamagedModel(f"{name} is damaged: {what}", hint="download the file again; the copy may be incomplete")


def shards(index: Any, name: str) -> dict[str, str]:
    """The weight map of a `*.safetensors.index.json`: tensor -> file of the same folder. Raises DamagedModel."""
    found = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(found, dict) or not found:
        raise DamagedModel(f"{name} has no weight_map")
    for tensor, file in found.items():
        if not isinstance(file, str) or not file.endswith(".safetensors") or "/" in file or "\\" in file:
            raise DamagedModel(f"{name} names a file outside of its folder for {tensor[:100]!r}")
    return found
