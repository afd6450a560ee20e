"""Which of several prefills goes on next: plain arithmetic, no tensors and no clock.

The shortest remaining one, so that a few tokens never wait for thousands; but one that was passed over PASSES times in
a row has its turn, so that a long one gets at least every (PASSES + 1)-th step and ends too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

PASSES = 3


class Remaining(Protocol):
    @property
    def remaining(self) -> int:
        """Tokens of prompt that are not in the caches yet."""


T = TypeVar("T", bound=Remaining)


class Turns(Generic[T]):
    """The prefills under way, in the order of their arrival."""

    def __init__(self) -> None:
        self._waited: dict[T, int] = {}

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._waited))

    def __len__(self) -> int:
        return len(self._waited)

    def add(self, one: T) -> None:
        self._waited[one] = 0

    def remove(self, one: T) -> None:
        del self._waited[one]

    def next(self, among: Callable[[T], bool] | None = None) -> T | None:
        """Whose turn it is, of those `among` whom it may be; the others have waited once more. None: nobody's."""
        there = [one for one in self._waited if among is None or among(one)]
        if not there:
            return None
        longest_wait = max(there, key=lambda one: self._waited[one])
        chosen = longest_wait if self._waited[longest_wait] >= PASSES else min(there, key=lambda one: one.remaining)
        for one in self._waited:
            self._waited[one] += 1
        self._waited[chosen] = 0
        return chosen
