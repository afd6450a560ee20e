"""Blocks made into bytes, and bytes into blocks: the one place between the files and MLX, for the engine's thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import ArraysCache, RotatingKVCache

from ..block import Block
from ..layers import Parts, Snapshot, Snapshots
from .block_file import BlockFile, Buffer, Bytes, Header, Room, States, Window
from .cache_layout import Layout
from .tensor import Tensor


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


class Landing:
    """Memory for the columns of neighbouring blocks, of so many tokens each, one piece a tensor: begun here, and filled
    by threads that know nothing but memory.

    `begin` and `look` are called until all is `ready`, then the rooms are given away; when they are filled `settle` is
    called until all is settled, and `parts` are what came. With a stream the memory is MLX's own, as documented of its
    arrays' views, and is allocated there; whoever fills it must have ended before the Landing goes. Without one it is
    plain memory, which `settle` copies: CUDA moves what the host writes to by itself, page by page.
    """

    def __init__(self, layout: Layout, widths: Sequence[int], stream: mx.Stream | None) -> None:
        self._layout = layout
        self._widths = widths
        self._stream = stream
        self._tensors = layout.columns(sum(widths))
        self._memory: list[mx.array] = []
        self._rows: list[Bytes] = []

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in self._tensors)

    @property
    def ready(self) -> bool:
        return len(self._rows) == len(self._tensors)

    @property
    def settled(self) -> bool:
        return len(self._memory) == len(self._tensors)

    def begin(self) -> bool:
        """Begin to allocate one more piece; False where there is none. Raises RuntimeError or MemoryError where there
        is no memory."""
        if self._stream is None or self.settled:
            return False
        self._memory.append(mx.zeros((self._tensors[len(self._memory)].nbytes,), mx.uint8, stream=self._stream))
        mx.async_eval(self._memory[-1])
        return True

    def look(self) -> None:
        """At the first piece that was begun and not looked at, which is waited for."""
        tensor = self._tensors[len(self._rows)]
        plain = self._stream is None
        rows = (
            np.empty(tensor.nbytes, np.uint8) if plain else np.frombuffer(view(self._memory[len(self._rows)]), np.uint8)
        )
        self._rows.append(rows.reshape(tensor.shape[1], -1))

    def settle(self) -> None:
        """One more piece that is filled becomes an array."""
        self._memory.append(mx.array(self._rows[len(self._memory)].reshape(-1)))

    def room(self, place: int) -> Room:
        """Where the columns of that block go."""
        start, stop = sum(self._widths[:place]), sum(self._widths[: place + 1])
        width, total = self._widths[place], sum(self._widths)
        columns = tuple(rows[:, rows.shape[1] * start // total : rows.shape[1] * stop // total] for rows in self._rows)
        return Room(columns, lambda found: found.tokens == width and self._layout.fits(found))

    def parts(self) -> Parts:
        """The columns of all of them."""
        pairs = zip(self._tensors, self._memory, strict=True)
        arrays = iter([memory.view(getattr(mx, one.dtype)).reshape(one.shape) for one, memory in pairs])
        return tuple((next(arrays), next(arrays)) if one.columns else None for one in self._layout.layers)


class Restored:
    """What came of one file beside its columns, made into arrays one by one."""

    def __init__(self, file: BlockFile) -> None:
        self.file = file
        self._tensors = deque(zip(file.header.tensors[file.header.columns :], file.tensors, strict=True))
        self._arrays: list[mx.array] = []

    def advance(self) -> bool:
        """One more of them; whether all are there."""
        if self._tensors:
            self._arrays.append(_array(*self._tensors.popleft()))
        return not self._tensors

    @property
    def snapshots(self) -> Snapshots | None:
        """When all are there."""
        arrays, described = iter(self._arrays), self.file.header.snapshots
        return None if described is None else tuple(_restored(one, arrays) for one in described)


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
