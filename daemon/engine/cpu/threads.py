"""How many threads OpenBLAS multiplies with: all cores for prompts, else one core stays free.

The threads of OpenBLAS wait by spinning. With one for every core, a decode step takes the core that the daemon and the
thread which builds the next step need. While a prompt is read nobody else of us has much to do, for decode steps wait
for it. A program that has nothing to do with us may: then a thread more is a thread that the others wait for in every
product.

Changing the number is setting one integer, which a product reads once, before it begins: so it may be done while
another thread multiplies, which goes on with the number that it has. That holds for threads of OpenBLAS's own
(driver/others/blas_server.c), as long as there are never more than it began with. Where it is built for OpenMP the
change frees buffers, and is not made.
"""

from __future__ import annotations

import os
from typing import Any

from .cores import usable
from .others import Others

SPIN = "20"
"""OPENBLAS_THREAD_TIMEOUT: a thread spins for 2^20 ticks of the processor's clock, half a millisecond, before it
sleeps: between two products, but not from one chunk to the next. By itself OpenBLAS lets it spin up to a tenth of a
second."""

FREE = 0.5
"""Cores: all are taken while other programs use less than that."""

_OWN_THREADS = 1  # what openblas_get_parallel gives for them


class Threads:
    """The threads of a library that was just loaded: `library` is a ctypes.CDLL. Raises AttributeError where it cannot
    be told how many."""

    def __init__(self, library: Any, others: Others | None = None) -> None:
        self._others = others or Others()
        self._set = library.openblas_set_num_threads
        self._now = int(library.openblas_get_num_threads())
        self._most = min(self._now, usable())
        self._changes = library.openblas_get_parallel() == _OWN_THREADS
        self._use(self._most - 1)

    def use_all(self, wanted: bool) -> None:
        """From the next product on: one for every core where they are free, or for every core but one."""
        if self._changes:
            self._use(self._most if wanted and self._others.cores < FREE else self._most - 1)

    def forget_others(self) -> None:
        self._others.forget()

    def _use(self, number: int) -> None:
        number = max(1, number)
        if number != self._now:
            self._set(number)
            self._now = number


_threads: Threads | None = None


def prepare() -> None:
    """To be called before OpenBLAS is loaded."""
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", SPIN)


def adopt(library: Any) -> None:
    """Choose the number of this library's threads from now on, unless the user has."""
    global _threads
    if "OPENBLAS_NUM_THREADS" in os.environ:
        return
    try:
        _threads = Threads(library)
    except AttributeError:
        return


def use_all_cores(wanted: bool) -> None:
    """While nothing is decoded. Does nothing where there is no OpenBLAS, or its threads are the user's to choose."""
    if _threads is not None:
        _threads.use_all(wanted)


def forget_others() -> None:
    """A model is loaded: who was at work until now, as the process that prepares its prompts was, is so no more."""
    if _threads is not None:
        _threads.forget_others()
