"""Weights to safetensors files, a few at a time: the files' headers come from lazy shapes, each tensor's bytes follow.

Shards as mlx-lm cuts them (at most 5 GiB, in the order of the network) with its index. Within a file tensors stand by
the width of their type, so that each is aligned. The format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

SHARD_BYTES = 5 << 30
INDEX = "model.safetensors.index.json"
LARGEST_WRITE = 1 << 30
"""Bytes of one system call: a stack of experts may be larger than what macOS takes at once (INT_MAX)."""

_DTYPES = {
    mx.bool_: "BOOL",
    mx.uint8: "U8",
    mx.int8: "I8",
    mx.uint16: "U16",
    mx.int16: "I16",
    mx.uint32: "U32",
    mx.int32: "I32",
    mx.uint64: "U64",
    mx.int64: "I64",
    mx.float16: "F16",
    mx.bfloat16: "BF16",
    mx.float32: "F32",
    mx.float64: "F64",
    mx.complex64: "C64",
}


@dataclass(frozen=True)
class Spec:
    """What a header says of a tensor; `width` is the bytes of one element."""

    name: str
    dtype: mx.Dtype
    shape: tuple[int, ...]
    bytes: int
    width: int


@dataclass(frozen=True)
class Place:
    """Where a tensor's bytes go: an open file and an offset in it."""

    descriptor: int
    offset: int


@contextmanager
def open_shards(
    folder: Path, weights: Sequence[tuple[str, mx.array]], parameters: int, limit: int = SHARD_BYTES
) -> Iterator[dict[str, Place]]:
    """Write headers and index; the places of all tensors by name, for `write`. Keeps no array."""
    specs = [Spec(name, weight.dtype, weight.shape, weight.nbytes, weight.itemsize) for name, weight in weights]
    shards = _cut(specs, limit)
    descriptors: list[int] = []
    places: dict[str, Place] = {}
    names: dict[str, str] = {}
    try:
        for number, shard in enumerate(shards, 1):
            file = f"model-{number:05d}-of-{len(shards):05d}.safetensors" if len(shards) > 1 else "model.safetensors"
            descriptors.append(os.open(folder / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            places |= _head(descriptors[-1], shard)
            names |= {spec.name: file for spec in shard}
        _write_index(folder, names, sum(spec.bytes for spec in specs), parameters)
        yield places
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def write(place: Place, data: memoryview) -> None:
    """All of a tensor's bytes. Raises OSError."""
    offset = place.offset
    while data:
        count = os.pwrite(place.descriptor, data[:LARGEST_WRITE], offset)
        offset += count
        data = data[count:]


def _cut(specs: Sequence[Spec], limit: int) -> list[list[Spec]]:
    """A tensor that is larger than the limit gets a shard of its own."""
    shards: list[list[Spec]] = []
    size = 0
    for spec in specs:
        if not shards or size + spec.bytes > limit:
            shards.append([])
            size = 0
        shards[-1].append(spec)
        size += spec.bytes
    return shards


def _head(descriptor: int, shard: Sequence[Spec]) -> dict[str, Place]:
    header: dict[str, Any] = {"__metadata__": {"format": "mlx"}}
    starts: dict[str, int] = {}
    end = 0
    for spec in sorted(shard, key=lambda spec: (-spec.width, spec.name)):
        starts[spec.name], end = end, end + spec.bytes
        header[spec.name] = {
            "dtype": _DTYPES[spec.dtype],
            "shape": spec.shape,
            "data_offsets": [starts[spec.name], end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    write(Place(descriptor, 0), memoryview(len(text).to_bytes(8, "little") + text))
    return {name: Place(descriptor, 8 + len(text) + start) for name, start in starts.items()}


def _write_index(folder: Path, files: dict[str, str], size: int, parameters: int) -> None:
    index = {
        "metadata": {"total_size": size, "total_parameters": parameters},
        "weight_map": dict(sorted(files.items())),
    }
    (folder / INDEX).write_text(json.dumps(index, indent=4))
