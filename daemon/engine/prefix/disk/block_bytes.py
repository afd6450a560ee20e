"""Blocks made into bytes, and bytes into blocks: the one place between the files and MLX, for the engine's thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import ArraysCache, RotatingKVCache

from ..block import Block
from ..layers import Snapshot, Snapshots
from ..state_graph import Leaf, StateGraph, Undescribed, make
from ..whole_state import WholeState, copies_work
from .block_file import BlockFile, Buffer, Header, States, Window
from .cache_layout import Layout
from .tensor import Tensor


def contents(block: Block, key: str) -> tuple[Header, list[mx.array]]:
    """What a file says of a block, and its tensors. Raises Undescribed where that cannot be said."""
    arrays, snapshots = block.arrays(), block.snapshots
    whole = snapshots[0].described() if snapshots and isinstance(snapshots[0], WholeState) else None
    if whole is not None:
        arrays = list(whole.arrays)
    described = None if snapshots is None else tuple(map(_described, snapshots))
    header = Header(
        key=key,
        name=block.name,
        parent=block.parent,
        tokens=len(block),
        parts=tuple(part is not None for part in block.parts),
        snapshots=described if whole is None else (whole.graph,),
        tensors=tuple(Tensor(str(array.dtype).rpartition(".")[2], tuple(array.shape)) for array in arrays),
    )
    return header, arrays


def flat(array: mx.array, stream: mx.Stream | None = None) -> mx.array:
    """A copy of its bytes one after the other, not computed yet."""
    whole = mx.reshape(mx.contiguous(array, stream=stream), (-1,), stream=stream)
    return mx.view(whole, mx.uint8, stream=stream)


_MORE = 8  # bytes of a staging array after those that it holds: one that is overwritten as a whole is not the same


def staging(nbytes: int) -> mx.array:
    """Memory for so many bytes of copies, one after the other, not computed yet."""
    return mx.zeros((nbytes + _MORE,), mx.uint8)


def staged(array: mx.array, place: mx.array) -> mx.array:
    """As `flat`, in the memory of `place`, which nobody else may hold, and which is of this size. MLX's CUDA backend
    moves what the host reads to memory that both share, and letting such memory go waits for all that the device has to
    do: so it is used again."""
    place[: array.nbytes] = flat(array)
    return place


def view(copy: mx.array) -> memoryview:
    """What `flat` gave, in its own memory. Waits until it is computed."""
    return memoryview(copy)  # type: ignore[arg-type]  # of which its stub says nothing


def to_file(block: Block, key: str) -> BlockFile:
    """A copy of the block, with all that must be computed for it."""
    header, arrays = contents(block, key)
    return BlockFile(header, block.tokens, tuple(bytes(view(flat(one))) for one in arrays))


class Restored:
    """What came of one file beside what has landed, made into arrays one by one."""

    def __init__(self, file: BlockFile, layout: Layout) -> None:
        self.file = file
        self._layout = layout
        landed = len(file.header.tensors) - len(file.tensors)
        self._tensors = deque(zip(file.header.tensors[landed:], file.tensors, strict=True))
        self._arrays: list[mx.array] = []

    def advance(self) -> bool:
        """One more of them; whether all are there."""
        if self._tensors:
            self._arrays.append(_array(*self._tensors.popleft()))
        return not self._tensors

    def snapshots(self, landed: Sequence[mx.array] = ()) -> Snapshots | None:
        """When all are there; `landed`: the `states` that are elsewhere."""
        described, whole = self.file.header.snapshots, self.file.header.whole
        arrays = iter([*landed, *self._arrays])
        if whole is not None:
            return (WholeState(make(whole, arrays, self._layout.kinds, _empty), whole.tokens),)
        return None if described is None else tuple(_restored(one, arrays) for one in described)


def whole_layout(network: Any) -> Layout | None:
    """Of a network whose caches cannot be cut: what their states are made of. None where they do not come back from a
    file as they were, by trial."""
    found: list[Layout] = []

    def through(state: WholeState) -> WholeState:
        found.append(Layout.of_state(state.described()))
        file = to_file(Block(b"", b"", b"", (), (state,)), "")
        if not found[-1].fits(file.header):
            raise Undescribed("its own state does not fit")
        restored = Restored(file, found[-1])
        while not restored.advance():
            pass
        return next(one for one in restored.snapshots() or () if isinstance(one, WholeState))

    return found[-1] if copies_work(network, through) else None


def _empty(leaf: Leaf) -> mx.array:
    return mx.zeros(leaf.shape, getattr(mx, leaf.dtype))


def _described(one: Snapshot) -> States | Window | None:
    if one is None or isinstance(one, WholeState):
        return None
    if isinstance(one, ArraysCache):
        return States(tuple(state is not None for state in one.cache))
    return Window(one.max_size, one.offset)


def _restored(one: States | Window | StateGraph | None, arrays: Iterator[mx.array]) -> Snapshot:
    if one is None or isinstance(one, StateGraph):  # which is never beside others
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
