"""Memory that both the host and the device reach: threads fill it, the device copies from it, and it is filled again.

CUDA moves a page of such memory to whoever touches it, and memory that nobody has used has no pages yet. To copy 96 MiB
into some that was new took one thread 34 ms on an H200, where four threads read as much into some that was used before
in 14; and what is computed with should not be moved.
"""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from ...ahead import Ahead
from ..block_bytes import view
from ..block_file import Bytes
from ..tensor import Tensor

_APART = 256  # bytes, of which the places of tensors are multiples
_MOST_FREE = 4  # as many as one prompt has under way, and the one that is copied from
_MORE = 1 << 15  # bytes after the last one: MLX makes no copy of what is nearly all of a buffer


class StagingBuffer:
    """Of `nbytes`, allocated on `stream`, which `ahead` begins."""

    def __init__(self, nbytes: int, stream: mx.Stream, ahead: Ahead) -> None:
        self.nbytes = nbytes
        self.begun = False
        self._memory = mx.zeros((nbytes + _MORE,), mx.uint8, stream=stream)
        self._host: Bytes | None = None
        self._copied: mx.array | None = None
        ahead([self._memory], self._tell)

    def _tell(self, began: float, seconds: float, error: Exception | None) -> None:
        """It is being allocated, and may be looked at; where that failed looking says so."""
        self.begun = True

    def look(self) -> Bytes:
        """All of it, for threads to fill. Waits until it is there and what was copied from it is computed. Raises
        RuntimeError or MemoryError where there is no memory."""
        if self._host is None:
            self._host = np.frombuffer(view(self._memory), np.uint8)[: self.nbytes]
        if self._copied is not None:
            self._copied.item()
            self._copied = None
        return self._host

    def copy(self, tensor: Tensor, start: int) -> mx.array:
        """Of a tensor that begins after so many bytes, in the device's memory; not computed yet."""
        content = self._memory[start : start + tensor.nbytes].view(getattr(mx, tensor.dtype))
        return mx.contiguous(content.reshape(tensor.shape))

    def watch(self, copy: mx.array) -> mx.array:
        """What is to be computed with this last copy: `look` waits for it."""
        self._copied = copy.reshape(-1)[:1] + 0
        return self._copied


class StagingBuffers:
    """Those that nobody uses at the moment."""

    def __init__(self, stream: mx.Stream, ahead: Ahead) -> None:
        self._stream = stream
        self._ahead = ahead
        self._free: list[StagingBuffer] = []

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in self._free)

    def take(self, nbytes: int) -> StagingBuffer:
        """One of so many bytes or more; one that is too small goes for it."""
        self._free.sort(key=lambda one: one.nbytes)
        for place, one in enumerate(self._free):
            if one.nbytes >= nbytes:
                return self._free.pop(place)
        del self._free[:1]
        return StagingBuffer(nbytes, self._stream, self._ahead)

    def give_back(self, one: StagingBuffer) -> None:
        """What is copied from it has been begun. Where several prompts were read there are more than one needs, and
        what is too much goes."""
        if len(self._free) < _MOST_FREE:
            self._free.append(one)

    def clear(self) -> None:
        self._free.clear()


def places(tensors: Sequence[Tensor]) -> list[int]:
    """Where each of them begins in a buffer, and how many bytes all of them take."""
    found = [0]
    for one in tensors:
        found.append(-(-(found[-1] + one.nbytes) // _APART) * _APART)
    return found
