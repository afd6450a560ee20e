"""Blocks made into bytes, and bytes into blocks: the one place between the files and MLX, for the engine's thread."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import ArraysCache, RotatingKVCache

from ..block import Block
from ..layers import Snapshot
from .block_file import BlockFile, Buffer, DamagedBlock, Header, States, Tensor, Window
from .cache_layout import Layout


def header(block: Block, key: str) -> Header:
    """What a file says of a block."""
    return Header(
        key=key,
        name=block.name,
        parent=block.parent,
        tokens=len(block),
        parts=tuple(part is not None for part in block.parts),
        snapshots=None if block.snapshots is None else tuple(map(_described, block.snapshots)),
        tensors=tuple(Tensor(str(array.dtype).rpartition(".")[2], tuple(array.shape)) for array in block.arrays()),
    )


def flat(array: mx.array, stream: mx.Stream | None = None) -> mx.array:
    """A copy of its bytes one after the other, not computed yet."""
    whole = mx.reshape(mx.contiguous(array, stream=stream), (-1,), stream=stream)
    return mx.view(whole, mx.uint8, stream=stream)


def view(copy: mx.array) -> memoryview:
    """What `flat` gave, in its own memory. Waits until it is computed."""
    return memoryview(copy)  # type: ignore[arg-type]  # of which its stub says nothing


def to_file(block: Block, key: str) -> BlockFile:
    """A copy of the block, with all that must be computed for it."""
    return BlockFile(header(block, key), block.tokens, tuple(bytes(view(flat(one))) for one in block.arrays()))


def to_block(file: BlockFile, layout: Layout) -> Block:
    """What `to_file` was given, its arrays in memory of their own. Raises DamagedBlock where it is not of such a
    network."""
    found = file.header
    if found.parts != tuple(one.columns for one in layout.layers) or not layout.fits(
        found.tokens, found.tensors, found.snapshots
    ):
        raise DamagedBlock("it is of another network")
    arrays = iter([_array(*one) for one in zip(found.tensors, file.tensors, strict=True)])
    parts = tuple((next(arrays), next(arrays)) if has else None for has in found.parts)
    snapshots = None if found.snapshots is None else tuple(_restored(one, arrays) for one in found.snapshots)
    return Block(found.name, found.parent, bytes(file.tokens), parts, snapshots)


def _described(one: Snapshot) -> States | Window | None:
    if one is None:
        return None
    if isinstance(one, ArraysCache):
        return States(tuple(state is not None for state in one.cache))
    return Window(one.max_size, one.offset)


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


def _array(tensor: Tensor, data: Buffer) -> mx.array:
    whole = mx.array(np.frombuffer(data, np.uint8))
    return whole.view(getattr(mx, tensor.dtype)).reshape(tensor.shape)
