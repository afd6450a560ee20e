"""Who waits and who runs: plain Python over small values, no tensors."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """What the scheduler needs to know of a request; `length` in tokens, `rows` of the batch for its choices."""

    @property
    def id(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def rows(self) -> int: ...


@dataclass(frozen=True)
class Limits:
    """`max_batch` sequences at once; `memory` bytes for caches of `token_bytes` a token (None: no limit), which grow
    by `quantum` tokens."""

    max_batch: int
    token_bytes: int = 0
    memory: int | None = None
    quantum: int = 256

    def cache_bytes(self, rows: int, length: int) -> int:
        """What a batch of this many rows costs when its longest row has `length` tokens: rows double, lengths step."""
        if rows == 0:
            return 0
        return (1 << (rows - 1).bit_length()) * (-(-length // self.quantum) * self.quantum) * self.token_bytes

    def fits(self, rows: int, length: int) -> bool:
        return self.memory is None or self.cache_bytes(rows, length) <= self.memory


T = TypeVar("T", bound=Waiting)


class Scheduler(Generic[T]):
    """First come, first served; a preempted request goes back to the front."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._waiting: deque[T] = deque()

    def __len__(self) -> int:
        """How many sequences wait."""
        return sum(one.rows for one in self._waiting)

    def add(self, request: T) -> None:
        self._waiting.append(request)

    def put_back(self, request: T) -> None:
        self._waiting.appendleft(request)

    def remove(self, number: int) -> bool:
        """Take out whatever waits of the request with this id; False when nothing does."""
        kept = [one for one in self._waiting if one.id != number]
        found = len(kept) < len(self._waiting)
        self._waiting = deque(kept)
        return found

    def never_fits(self, length: int) -> bool:
        """Whether a sequence of this length is too large even alone."""
        return not self.limits.fits(1, length + 1)

    def next_group(self, present: int, longest: int, budget: int, *, padded: bool, alone: bool = False) -> list[T]:
        """Who starts prefill now, beside `present` sequences of which the longest has `longest` tokens.

        One long prompt goes alone, in chunks. Short ones go side by side while the whole group stays within the budget:
        of any length when prompts may be padded, else of equal length only, or each by itself (`alone`).
        """
        group: list[T] = []
        rows = present
        while self._waiting and rows < self.limits.max_batch:
            head = self._waiting[0]
            widest = max([head.length, *(one.length for one in group)])
            joining = self._joining(rows, head.rows, max(longest, widest) + 1)
            if not joining:
                break
            if group and (widest * (len(group) + 1) > budget or (not padded and head.length != group[0].length)):
                break
            group.append(self._waiting.popleft())
            rows += joining
            if alone or head.length > budget or joining < head.rows:
                break
        return group

    def _joining(self, present: int, rows: int, length: int) -> int:
        """How many of so many choices find a place at once; the others follow as places become free."""
        most = min(rows, self.limits.max_batch - present)
        return next((count for count in range(most, 0, -1) if self.limits.fits(present + count, length)), 0)

    def may_join(self, rows: int, longest: int) -> bool:
        """Whether one more sequence finds a place beside so many rows, with the longest of all `longest` tokens."""
        return rows < self.limits.max_batch and (rows == 0 or self.limits.fits(rows + 1, longest + 1))

    def must_yield(self, rows: int, longest: int) -> bool:
        """Whether the batch outgrows its memory with the next token, so that somebody must go."""
        return rows > 0 and not self.limits.fits(rows, longest + 1)
