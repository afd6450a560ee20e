"""Blocks made into bytes, and bytes into blocks: the one place between the files and MLX, for the engine's thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import ArraysCache, RotatingKVCache

from .block import Block
from .block_file import BlockFile, Buffer, DamagedBlock, Header, States, Tensor, Window
from .layers import Snapshot, by_columns, leaves


def to_file(block: Block, key: str) -> BlockFile:
    """A copy of the block. It waits for those of its arrays that are not computed yet."""
    arrays = block.arrays()
    header = Header(
        key=key,
        name=block.name,
        parent=block.parent,
        tokens=len(block),
        parts=tuple(part is not None for part in block.parts),
        snapshots=None if block.snapshots is None else tuple(map(_described, block.snapshots)),
        tensors=tuple(Tensor(str(array.dtype).rpartition(".")[2], tuple(array.shape)) for array in arrays),
    )
    return BlockFile(header, block.tokens, tuple(map(_bytes, arrays)))


def to_block(file: BlockFile, caches: Sequence[Any]) -> Block:
    """What `to_file` was given, its arrays in memory of their own. `caches`: empty plain ones of the network.

    Raises DamagedBlock where it is not of such a network.
    """
    header = file.header
    layers = leaves(caches)
    kept = header.snapshots or (None,) * len(layers)
    if header.parts != tuple(map(by_columns, layers)) or len(kept) != len(layers):
        raise DamagedBlock("it is of another network")
    if header.snapshots is not None and not all(map(_fits, layers, kept)):
        raise DamagedBlock("it is of another network")
    columns = header.tensors[: 2 * sum(header.parts)]
    if any(len(one.shape) != 4 or one.shape[0] != 1 or one.shape[2] != header.tokens for one in columns):
        raise DamagedBlock("it has another number of columns")
    arrays = iter([_array(*one) for one in zip(header.tensors, file.tensors, strict=True)])
    parts = tuple((next(arrays), next(arrays)) if has else None for has in header.parts)
    snapshots = None if header.snapshots is None else tuple(_restored(one, arrays) for one in header.snapshots)
    return Block(header.name, header.parent, bytes(file.tokens), parts, snapshots)


def _described(one: Snapshot) -> States | Window | None:
    if one is None:
        return None
    if isinstance(one, ArraysCache):
        return States(tuple(state is not None for state in one.cache))
    return Window(one.max_size, one.offset)


def _fits(leaf: Any, one: States | Window | None) -> bool:
    """Whether this is a snapshot of such a layer."""
    if by_columns(leaf):
        return one is None
    if type(leaf) is ArraysCache:
        return isinstance(one, States) and len(one.present) == len(leaf.cache)
    return isinstance(one, Window) and one.size == leaf.max_size


def _restored(one: States | Window | None, arrays: Iterator[mx.array]) -> Snapshot:
    if one is None:
        return None
    if isinstance(one, States):
        states = ArraysCache(len(one.present))
        states.cache = [next(arrays) if present else None for present in one.present]
        return states
    window = RotatingKVCache(one.size)
    window.keys, window.values = next(arrays), next(arrays)
    window.offset, window._idx = one.offset, window.keys.shape[2]
    return window


def _bytes(array: mx.array) -> bytes:
    return np.array(mx.contiguous(array).reshape(-1).view(mx.uint8)).tobytes()


def _array(tensor: Tensor, data: Buffer) -> mx.array:
    flat = mx.array(np.frombuffer(data, np.uint8))
    return flat.view(getattr(mx, tensor.dtype)).reshape(tensor.shape)
