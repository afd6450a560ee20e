"""What an engine does when no work has come for a while: memory goes back, cycles are collected, on NVIDIA GPUs plans
are made, and on CPUs decode steps are fused.

What a shape takes there when it is first met holds up everybody in the batch, and nobody knows yet what chunks of
prompts take. So once a model has been idle for a second, the shapes that its next requests are likely to have are
computed with made-up ones: steps of few and of many rows, groups of short prompts, single longer ones. Nobody waits for
it: before each shape the mailbox is looked at, and what is left goes on with the next rest. At last come the plans of
whole chunks of long prompts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ..cache import attention
from ..device import release_pool
from ..generate.engine_limits import Limits
from ..generate.prefilling.pace import Timings
from ..model.load import LanguageModel
from ..shapes import CHUNK, Shapes
from .made_up import made_up, run_all

GROUPED = (64, 128, 192, 256)
"""Tokens of the prompts that come together."""
ALONE = (320, 384, 448, 512, 640, 768, 896, *range(1024, 2048, 256), *range(2048, 7169, 512), CHUNK)
"""Tokens of those that come alone, beyond the ones above: what `Shapes.chunk` pads them to."""
LONGEST = 1 << 17
"""Tokens up to which long prompts are planned."""
MEMORY_PART = 4
"""Of the memory for caches, as what was kept takes the rest."""
_OVER = object()


class Rest:
    """Called with each rest of the engine; gives when it wants to be called again, as in Loop. `busy`: whether work has
    come meanwhile. Only with `plans` shapes are computed, and `timings` learn what they took. `processes`: what is
    called then, as `Fusing` is, and has processes of its own. `collect`: what is called before all else."""

    def __init__(
        self,
        model: LanguageModel | None,
        limits: Limits,
        busy: Callable[[], bool],
        *,
        plans: bool,
        timings: Timings | None = None,
        processes: Sequence[Callable[[], float | None]] = (),
        collect: Callable[[], None] = lambda: None,
    ) -> None:
        self._busy = busy
        self._processes = processes
        self._collect = collect
        self._left = shapes(model, limits) if plans and model is not None and model.batchable else iter(())
        self._memory = None if limits.memory is None else limits.memory // MEMORY_PART
        longest = 0 if model is None else min(model.context_length, LONGEST)
        self._long = attention.plans(CHUNK, longest, self._memory) if plans else iter(())
        self._model = model
        self._limits = limits
        self._timings = timings

    def __call__(self) -> float | None:
        self._collect()
        release_pool()
        while not self._busy():
            shape = next(self._left, None)
            if shape is not None:
                self._compute(*shape)
            elif next(self._long, _OVER) is _OVER:
                break
        again = [seconds for process in self._processes if (seconds := process()) is not None]
        release_pool()
        return min(again, default=None)

    def _compute(self, rows: int, width: int, steps: int) -> None:
        """A group of so many prompts of so many tokens, and so many steps for all of them; and once more, for what that
        takes once its plan is made. What fails here fails in a request too, and is told there; no more is tried."""
        assert self._model is not None
        limits = replace(self._limits, tokens_per_step=rows * width, memory=self._memory, prefixes=0)
        try:
            run_all(self._model, limits, [made_up(width + 1, steps)] * rows)
            if not self._busy():
                run_all(self._model, limits, [made_up(width + 1, steps)] * rows, timings=self._timings)
        except (RuntimeError, ValueError, MemoryError) as error:
            self._left = iter(())
            sys.stderr.write(f"plan shapes: {type(error).__name__}: {' '.join(str(error).split())[:300]}\n")
            sys.stderr.flush()


def shapes(model: LanguageModel, limits: Limits) -> Iterator[tuple[int, int, int]]:
    """Rows of a group, tokens of each, and decode steps after them: the likelier ones first."""
    few = Shapes(few=True)
    counts = sorted({few.rows(count) for count in range(1, limits.max_batch + 1)} & set(range(limits.max_batch + 1)))
    longest = model.context_length - 3
    yield from ((count, GROUPED[-1], 2) for count in counts if GROUPED[-1] <= longest)
    yield from ((1, width, 1) for width in (*GROUPED[:-1], *ALONE) if width <= longest)
    yield from ((count, width, 1) for width in GROUPED[:-1] for count in counts[1:] if width <= longest)
