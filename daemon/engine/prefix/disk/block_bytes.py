"""Blocks made into bytes, and bytes into blocks: the one place between the files and MLX, for the engine's thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import ArraysCache, RotatingKVCache

from ..block import Block
from ..layers import Parts, Snapshot, Snapshots
from ..state_graph import Leaf, StateGraph, Undescribed, make
from ..whole_state import WholeState, copies_work
from .block_file import BlockFile, Buffer, Bytes, Header, Room, States, Window
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


class Landing:
    """Memory for the columns of neighbouring blocks, of so many tokens each, one piece a tensor, and for the tensors of
    `whole`, a state of all layers after them: begun here, and filled by threads that know nothing but memory.

    `begin` and `look` are called until all is `ready`, then the rooms are given away; when they are filled `settle` is
    called until all is settled, and `parts` and `states` are what came. With a stream the memory is MLX's own, as
    documented of its arrays' views, and is allocated there; whoever fills it must have ended before the Landing goes.
    Without one it is plain memory, which `settle` copies: CUDA moves what the host writes to by itself, page by page.
    """

    def __init__(
        self, layout: Layout, widths: Sequence[int], stream: mx.Stream | None, whole: Sequence[Tensor] = ()
    ) -> None:
        self.layout = layout
        self._widths = widths
        self._stream = stream
        columns = layout.columns(sum(widths))
        self._columns = len(columns)
        self._tensors = [*columns, *whole]
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

    @property
    def begun(self) -> int:
        """Bytes of the pieces that were begun and not looked at."""
        return sum(one.nbytes for one in self._tensors[len(self._rows) : len(self._memory)])

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
        of_columns = len(self._rows) < self._columns
        self._rows.append(rows.reshape(tensor.shape[1] if of_columns else 1, -1))

    def settle(self) -> None:
        """One more piece that is filled becomes an array."""
        self._memory.append(mx.array(self._rows[len(self._memory)].reshape(-1)))

    def room(self, place: int) -> Room:
        """Where that block goes."""
        start, stop = sum(self._widths[:place]), sum(self._widths[: place + 1])
        width, total = self._widths[place], sum(self._widths)
        columns = [
            rows[:, rows.shape[1] * start // total : rows.shape[1] * stop // total]
            for rows in self._rows[: self._columns]
        ]
        whole = tuple(self._tensors[self._columns :])

        def fits(found: Header) -> bool:
            same = found.tensors == whole if whole else found.tokens == width
            return same and self.layout.fits(found)

        return Room((*columns, *self._rows[self._columns :]), fits)

    def parts(self) -> Parts:
        """The columns of all of them."""
        arrays = iter(self._arrays(0, self._columns))
        return tuple((next(arrays), next(arrays)) if one.columns else None for one in self.layout.layers)

    def states(self) -> list[mx.array]:
        """The tensors of the state of all layers."""
        return self._arrays(self._columns, len(self._tensors))

    def _arrays(self, start: int, stop: int) -> list[mx.array]:
        pairs = zip(self._tensors[start:stop], self._memory[start:stop], strict=True)
        return [memory.view(getattr(mx, one.dtype)).reshape(one.shape) for one, memory in pairs]


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
