"""Memory for the blocks that come from files, a run of them at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable

import mlx.core as mx

from ...ahead import Ahead
from ...chain import BLOCK
from ...recording import TOGETHER
from ..cache_layout import Layout
from .block_reader import Found
from .block_run import BlockRun
from .landing import Landing
from .staging_buffer import StagingBuffer, StagingBuffers, places

_RUNS, _STAGED_RUNS = 2, 3  # under way at the same time, in MLX's own memory and in StagingBuffers
_RUN_BYTES = 96 << 20


class RunMemory:
    """`in_place`: threads write into MLX's own memory, which is computed with; else into StagingBuffers, of which it
    makes copies, begun by `ahead`. `left`: runs that nobody waits for, but threads may still fill."""

    def __init__(self, layout: Layout, ahead: Ahead, *, in_place: bool) -> None:
        self._layout = layout
        # One of its own, so that nobody waits for this memory as long as a step takes.
        self._stream = mx.new_stream(mx.cpu)
        self._free = None if in_place else StagingBuffers(self._stream, ahead)
        self.left: list[BlockRun] = []
        self._left_at = 0.0

    @property
    def in_place(self) -> bool:
        return self._free is None

    @property
    def most_runs(self) -> int:
        """Of one prompt at the same time."""
        return _RUNS if self.in_place else _STAGED_RUNS

    @property
    def nbytes(self) -> int:
        """Of buffers that nobody uses."""
        return 0 if self._free is None else self._free.nbytes

    def together(self, first: Found, room: int) -> int:
        """How many blocks like this one come in one run, with so many bytes for it; 0: there is no room."""
        size = max(1, sum(one.nbytes for one in (*self._layout.columns(BLOCK), *first.tensors)))
        return max(0, min(TOGETHER, max(1, _RUN_BYTES // size), room // size))

    def landing(self, found: list[Found]) -> Landing:
        """Memory for these."""
        widths, whole = [one.tokens for one in found], found[-1].tensors
        if self._free is None:
            return Landing(self._layout, widths, self._stream, whole)
        size = places([*self._layout.columns(sum(widths)), *whole])[-1]
        return Landing(self._layout, widths, self._free.take(size), whole)

    def leave(self, runs: Iterable[BlockRun]) -> None:
        """Nobody waits for these any more."""
        self.left += [run for run in runs if run.busy]
        self._left_at = time.monotonic()

    def leaving(self, seconds: float) -> bool:
        """Whether threads still fill what was left within so many seconds."""
        self.left = [run for run in self.left if run.busy]
        return bool(self.left) and time.monotonic() - self._left_at < seconds

    def give_back(self, buffer: StagingBuffer) -> None:
        """What is copied from it has been begun."""
        if self._free is not None:
            self._free.give_back(buffer)

    def clear(self) -> None:
        """Let go of what nobody uses; that may take as long as a step."""
        if self._free is not None:
            self._free.clear()
