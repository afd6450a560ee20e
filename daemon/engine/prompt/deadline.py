"""How long preparing one prompt may take, in seconds of a processor that works on it."""

from __future__ import annotations

DEADLINE_SECONDS = 5.0
GRAMMAR_SECONDS = 3.0
"""For compiling the grammar of an answer; most take milliseconds."""
BYTES_PER_SECOND = 256 << 10
"""Slower than any tokenizer at work."""
PIXELS_PER_SECOND = 4_000_000
"""Slower than any picture is decoded and scaled."""
MOST_WAITS = 2
"""On a busy machine a worker may take so many times as long, while it has not had the processor for its seconds."""


def seconds_for(text: int, pixels: int = 0) -> float:
    """For tokenizing a text of so many bytes, or reading a picture of so many pixels; what comes before it has
    DEADLINE_SECONDS."""
    return DEADLINE_SECONDS + text / BYTES_PER_SECOND + pixels / PIXELS_PER_SECOND
