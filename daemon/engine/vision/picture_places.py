"""Where a prompt has pictures: what stands for them where beginnings are compared, and where it must not be parted.

The tokens of all pictures are the same, so each gets 31 bits of the picture's digest in its place; whatever is named or
compared by tokens then tells pictures apart, in memory and in files. A picture counts as the same once SURE places
agree, which is 124 bits of its digest; where it has fewer tokens, those behind it carry the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import shake_128

import numpy as np
from numpy.typing import NDArray

SURE = 4
_MARK = np.int32(-(1 << 31))  # which no token has


class PicturePlaces:
    """`pictures`: the key of each, a digest of all that is seen of it, and the places of its tokens. `together`: its
    tokens attend to all of their run, so that a run is read, and gone on from, as a whole."""

    def __init__(self, pictures: Iterable[tuple[str, NDArray[np.int32]]], *, together: bool) -> None:
        self._pictures = [(key, places) for key, places in pictures if places.size]
        self._kept_whole: list[tuple[int, int]] = []  # from a place to behind the last one
        for _, places in self._pictures:
            first = int(places[0])
            self._kept_whole.append((first, first + SURE))
            if together:
                self._kept_whole += [(begin, end + 1) for begin, end in runs(places)]

    def __bool__(self) -> bool:
        return bool(self._pictures)

    def named(self, tokens: list[int]) -> list[int]:
        """The tokens of the prompt, with what stands for pictures; negative where that is."""
        found = np.array(tokens, np.int32)
        for key, places in self._pictures:
            near = np.arange(places[0], min(places[0] + SURE, found.size), dtype=np.int32)
            where = np.union1d(places, near)
            bits = np.frombuffer(shake_128(key.encode()).digest(4 * where.size), "<i4")
            found[where] = (found[where] ^ bits) | _MARK
        return found.tolist()  # type: ignore[no-any-return]

    def before(self, length: int) -> int:
        """The most of the first `length` tokens after which the prompt may be parted."""
        while inside := [begin for begin, end in self._kept_whole if begin < length < end]:
            length = min(inside)
        return length


def runs(places: NDArray[np.int32]) -> list[tuple[int, int]]:
    """The first and the last of each run of neighbouring places."""
    cuts = np.flatnonzero(np.diff(places) > 1) + 1
    return [(int(part[0]), int(part[-1])) for part in np.split(places, cuts)]
