"""Who waits and who runs, and how much prefill a step may do: plain Python over small values, no tensors."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """What the scheduler needs to know of a sequence; `length` in tokens."""

    @property
    def id(self) -> int: ...
    @property
    def length(self) -> int: ...


@dataclass(frozen=True)
class Limits:
    """`max_batch` sequences at once; `tokens_per_step` of prefill beside decoding, `idle_factor` times that when
    nothing decodes; `memory` bytes for caches of `token_bytes` a token (None: no limit), which grow by `quantum`."""

    max_batch: int
    tokens_per_step: int
    token_bytes: int = 0
    memory: int | None = None
    idle_factor: int = 4
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
    """First come, first served; a preempted sequence goes back to the front."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._waiting: deque[T] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, sequence: T) -> None:
        self._waiting.append(sequence)

    def put_back(self, sequence: T) -> None:
        self._waiting.appendleft(sequence)

    def remove(self, sequence_id: int) -> T | None:
        """Take a waiting sequence out; None when it does not wait here."""
        for sequence in self._waiting:
            if sequence.id == sequence_id:
                self._waiting.remove(sequence)
                return sequence
        return None

    def never_fits(self, length: int) -> bool:
        """Whether a sequence of this length is too large even alone."""
        return not self.limits.fits(1, length + 1)

    def budget(self, decoding: int, stretch: int = 1) -> int:
        """Prefill tokens for the next step: as configured and as the device's pace stretches it while others decode,
        more when nobody would wait for it."""
        return self.limits.tokens_per_step * max(stretch, 1 if decoding else self.limits.idle_factor)

    def next_group(self, present: int, longest: int, budget: int, *, padded: bool, alone: bool = False) -> list[T]:
        """Who starts prefill now, beside `present` sequences of which the longest has `longest` tokens.

        One long prompt goes alone, in chunks. Short ones go side by side while the whole group stays within the budget:
        of any length when prompts may be padded, else of equal length only, or each by itself (`alone`).
        """
        group: list[T] = []
        while self._waiting and present + len(group) < self.limits.max_batch:
            head = self._waiting[0]
            widest = max([head.length, *(one.length for one in group)])
            if not self.limits.fits(present + len(group) + 1, max(longest, widest) + 1):
                break
            if group and (widest * (len(group) + 1) > budget or (not padded and head.length != group[0].length)):
                break
            group.append(self._waiting.popleft())
            if alone or head.length > budget:
                break
        return group

    def must_yield(self, rows: int, longest: int) -> bool:
        """Whether the batch has outgrown its memory, so that its newest sequence must wait again."""
        return rows > 1 and not self.limits.fits(rows, longest + 1)
