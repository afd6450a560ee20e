"""Whether what is left of a prompt had better be computed than read from the disk: plain arithmetic on what came.

A disk, or the way from it into a GPU's memory, may bring less in a second than the GPU computes: on one H200 8,000
tokens of a 0.6B model, where 54,000 are computed.
"""

from __future__ import annotations

PROBE_BYTES = 64 << 20
"""That are read before a disk is judged."""

MARGIN = 1.5
"""How many times as fast computing has to be: later tokens of a prompt cost more than the first ones, whose pace is
known."""


class Coming:
    """What has come of one prompt since `began`, in seconds of any clock. Beside decoding both ways wait for others,
    and nothing is said."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._bytes = self._tokens = 0
        self._beside = False

    def note(self, tokens: int, nbytes: int, *, decoding: bool) -> None:
        """So much more has come."""
        self._tokens += tokens
        self._bytes += nbytes
        self._beside |= decoding

    def too_slow(self, now: float, rate: float) -> bool:
        """Whether this device computes the rest sooner; `rate`: how many tokens a second."""
        if self._beside or self._bytes < PROBE_BYTES:
            return False
        return self._tokens / max(now - self._began, 1e-6) * MARGIN < rate
