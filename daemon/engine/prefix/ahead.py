"""How what nobody waits for begins to be computed: pieces of prompts, what is kept of them, what goes to files."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

import mlx.core as mx

Tell: TypeAlias = Callable[[float, float, Exception | None], None]
"""Hears by the clock when that began, how many seconds it took to begin it, and what went wrong."""

Ahead: TypeAlias = Callable[[list[mx.array], Tell], bool]
"""Begins to compute arrays, or puts it off, and then tells in a later step, on the same thread; gives whether it is put
off."""


def at_once(arrays: list[mx.array], tell: Tell) -> bool:
    """An `Ahead` that puts nothing off."""
    began, problem = time.monotonic(), None
    try:
        mx.async_eval(arrays)
    except (RuntimeError, MemoryError) as error:
        problem = error
    tell(began, time.monotonic() - began, problem)
    return False
