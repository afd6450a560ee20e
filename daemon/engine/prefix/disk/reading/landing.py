"""Memory for what comes from files, and arrays made of it: for the engine's thread."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from ...layers import Parts
from ..block_bytes import view
from ..block_file import Bytes, Header, Room
from ..cache_layout import Layout
from ..tensor import Tensor
from .staging_buffer import StagingBuffer, places


class Landing:
    """For the columns of neighbouring blocks, of so many tokens each, one piece a tensor, and for the tensors of
    `whole`, a state of all layers after them: filled by threads that know nothing but memory.

    `begin` and `look` are called until all is `ready`, the second one while it is `there`; then the rooms are given
    away, and when they are filled `settle` is called until all is settled, and `parts` and `states` are what came. In
    `memory` of a stream it is what is computed with, as documented of its arrays' views, and is allocated there;
    whoever fills it must have ended before the Landing goes. In a StagingBuffer it is copied from.
    """

    def __init__(
        self,
        layout: Layout,
        widths: Sequence[int],
        memory: mx.Stream | StagingBuffer,
        whole: Sequence[Tensor] = (),
    ) -> None:
        self.layout = layout
        self._widths = widths
        columns = layout.columns(sum(widths))
        self._columns = len(columns)
        self._tensors = [*columns, *whole]
        self.buffer = memory if isinstance(memory, StagingBuffer) else None
        self._stream = None if isinstance(memory, StagingBuffer) else memory
        self._places = places(self._tensors)
        self._looks = False
        self._memory: list[mx.array] = []
        self._rows: list[Bytes] = []

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in self._tensors) if self.buffer is None else self.buffer.nbytes

    @property
    def ready(self) -> bool:
        return len(self._rows) == len(self._tensors)

    @property
    def settled(self) -> bool:
        return len(self._memory) == len(self._tensors)

    @property
    def begun(self) -> int:
        """Bytes of the pieces that were begun and not looked at."""
        if self.buffer is not None:
            return self.buffer.nbytes if self._looks and not self.ready else 0
        return sum(one.nbytes for one in self._tensors[len(self._rows) : len(self._memory)])

    @property
    def there(self) -> bool:
        """Whether what was begun is on its way."""
        return self.buffer is None or self.buffer.begun

    def begin(self) -> bool:
        """Begin to allocate one more piece, or all in a buffer; False where there is none. Raises RuntimeError or
        MemoryError where there is no memory."""
        if self._stream is None:
            before, self._looks = self._looks, True
            return not before
        if self.settled:
            return False
        self._memory.append(mx.zeros((self._tensors[len(self._memory)].nbytes,), mx.uint8, stream=self._stream))
        mx.async_eval(self._memory[-1])
        return True

    def look(self) -> None:
        """At the first piece that was begun and not looked at, which is waited for; at all of a buffer."""
        if self.buffer is None:
            self._add_rows(np.frombuffer(view(self._memory[len(self._rows)]), np.uint8))
            return
        memory = self.buffer.look()
        for start, tensor in zip(self._places, self._tensors, strict=False):
            self._add_rows(memory[start : start + tensor.nbytes])

    def _add_rows(self, memory: Bytes) -> None:
        """Of the next tensor: one for each head of columns."""
        place = len(self._rows)
        heads = self._tensors[place].shape[1] if place < self._columns else 1
        self._rows.append(memory.reshape(heads, -1))

    def settle(self) -> None:
        """One more piece that is filled becomes an array, not computed yet."""
        assert self.buffer is not None
        place = len(self._memory)
        self._memory.append(self.buffer.copy(self._tensors[place], self._places[place]))

    def watched(self) -> list[mx.array]:
        """What is to be computed with the arrays that were settled, so that the buffer is known to be free again."""
        return [] if self.buffer is None else [self.buffer.watch(self._memory[-1])]

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
        if self.buffer is not None:
            return self._memory[start:stop]
        pairs = zip(self._tensors[start:stop], self._memory[start:stop], strict=True)
        return [memory.view(getattr(mx, one.dtype)).reshape(one.shape) for one, memory in pairs]
