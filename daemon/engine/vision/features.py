"""Features of pictures that were seen, kept for as long as there is room: plain arithmetic on bytes."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Protocol


class Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


class Features:
    """By the picture's key, the last used ones last. Pinned ones are in use and never dropped; of the others there are
    `most` bytes at most."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._kept: OrderedDict[str, Sized] = OrderedDict()
        self._pins: Counter[str] = Counter()

    def get(self, key: str) -> Sized | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: str, features: Sized) -> None:
        self._kept[key] = features
        self._kept.move_to_end(key)
        self._shrink(self.most)

    def pin(self, key: str) -> None:
        self._pins[key] += 1

    def unpin(self, key: str) -> None:
        self._pins[key] -= 1
        if self._pins[key] <= 0:
            del self._pins[key]
        self._shrink(self.most)

    def clear(self) -> bool:
        """Drop what is not in use; whether there was any."""
        before = len(self._kept)
        self._shrink(0)
        return len(self._kept) < before

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in self._kept.values())

    def _shrink(self, most: int) -> None:
        free = [key for key in self._kept if key not in self._pins]
        left = sum(self._kept[key].nbytes for key in free)
        for key in free:
            if left <= most:
                return
            left -= self._kept.pop(key).nbytes
