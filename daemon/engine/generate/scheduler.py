"""Who waits and who runs: plain Python over small values, no tensors."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from .memory.ledger import CacheLedger, Occupancy


class Waiting(Protocol):
    """What the scheduler needs to know of a request; `length` in tokens, `rows` of the batch for its choices."""

    @property
    def id(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def start(self) -> int:
        """How many tokens need not be read."""

    @property
    def earliest(self) -> int:
        """The place up to `start` from which on it may be read as well: to read from there takes hardly longer."""

    @property
    def deferred(self) -> bool:
        """Whether it had better wait for another one that is being read."""

    @property
    def alone(self) -> bool:
        """Whether it is prefilled by itself."""


T = TypeVar("T", bound=Waiting)


class Scheduler(Generic[T]):
    """First come, first served; a preempted request goes back to the front."""

    def __init__(self, max_batch: int, ledger: CacheLedger) -> None:
        self._max_batch = max_batch
        self._ledger = ledger
        self._waiting: deque[T] = deque()

    def __iter__(self) -> Iterator[T]:
        """In their order."""
        yield from self._waiting

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

    def never_fits(self, length: int, more: int = 0) -> bool:
        """Whether a prompt of this length is too large even alone: its caches, a copy of them in the batch, and so many
        bytes more."""
        return not self._ledger.ever_fits(Occupancy((length + 1,), ((1, length),)), more)

    def next_group(
        self,
        present: Occupancy,
        budget: int,
        *,
        together: int | None = None,
        padded: bool,
        alone: bool = False,
        below: int | None = None,
    ) -> list[T]:
        """Who starts prefill now, beside those who are `present`, prompts under way among them with the rows that they
        will have.

        One long prompt goes alone, in chunks. Those that are within the budget go side by side while the whole group is
        within `together`, None: within the budget too: of any length when prompts may be padded, else of equal length
        only, or each by itself (`alone`). All of a group begin to read at the same place, the first one where any of
        them has something new. `below`: only prompts with fewer tokens to read, which pass the longer ones before them.
        """
        group: list[T] = []
        for head in [one for one in self._waiting if not one.deferred]:
            fresh = head.length - head.start
            if below is not None and fresh >= below:
                continue
            widest = max([head.length, *(one.length for one in group)])
            joining = self._joining(head, present, present.and_prefill(len(group) + 1, widest))
            if not joining:
                break
            start = min([head.start, *(one.start for one in group)])
            read = widest - start
            if group and (read > budget or read * (len(group) + 1) > (budget if together is None else together)):
                break
            if group and not padded and head.length != group[0].length:
                break
            if max([head.earliest, *(one.earliest for one in group)]) > start:
                break
            if group and head.alone:
                break
            group.append(head)
            self._waiting.remove(head)
            present = present.and_rows([head.length + 1] * joining)
            if alone or head.alone or fresh > budget or joining < head.rows:
                break
        return group

    def _joining(self, head: T, present: Occupancy, prefilling: Occupancy) -> int:
        """How many of a request's choices find a place at once; the others follow as places become free."""
        most = min(head.rows, self._max_batch - len(present.rows))
        fitting = (
            count for count in range(most, 0, -1) if self._ledger.fits(prefilling.and_rows([head.length + 1] * count))
        )
        return next(fitting, 0)

    def may_join(self, length: int, present: Occupancy) -> bool:
        """Whether one more sequence of this length finds a place in the batch."""
        rows = len(present.rows)
        return rows < self._max_batch and (rows == 0 or self._ledger.fits(present.and_rows([length + 1])))

    def must_yield(self, present: Occupancy) -> bool:
        """Whether the caches outgrow their memory with the next token, so that somebody must go."""
        return bool(present.rows) and not self._ledger.fits(
            Occupancy(tuple(length + 1 for length in present.rows), present.prefills)
        )
