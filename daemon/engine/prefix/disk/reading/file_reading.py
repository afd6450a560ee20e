"""What comes from files for one prompt that waits for it."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future

from ...chain import Chain
from ...read_or_compute import Coming
from .block_reader import Found, Wanted
from .block_run import BlockRun


class Reading:
    """`found` tells what files there are for it, `left` are those that are not begun to be read, `runs` those that are;
    all is there up to token `start`. What has come last, of so many files (`done`), came at `moved` by the clock."""

    def __init__(self, number: int, chain: Chain, wanted: Wanted, found: Future[tuple[Found, ...]]) -> None:
        self.number = number
        self.chain = chain
        self.wanted = wanted
        self.start = wanted.start
        self.found: Future[tuple[Found, ...]] | None = found
        self.names: frozenset[bytes] = frozenset()  # of what is read
        self.left: deque[Found] = deque()
        self.runs: deque[BlockRun] = deque()
        self.done = 0
        self.moved = time.monotonic()
        self.coming = Coming(self.moved)

    @property
    def futures(self) -> list[Future[object]]:
        found: list[Future[object]] = [self.found] if self.found is not None else []  # type: ignore[list-item]
        return found + [future for run in self.runs for future in run.files]  # type: ignore[misc]
