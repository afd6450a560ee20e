"""How long preparing one prompt may take, in seconds."""

from __future__ import annotations

DEADLINE_SECONDS = 5.0
BYTES_PER_SECOND = 256 << 10
"""Slower than any tokenizer at work."""


def seconds_for(text: int) -> float:
    """For tokenizing a text of so many bytes; what comes before it has DEADLINE_SECONDS."""
    return DEADLINE_SECONDS + text / BYTES_PER_SECOND
