"""The end of a text that may be the beginning of something else."""

from __future__ import annotations

from collections.abc import Sequence


def overlap(text: str, words: Sequence[str]) -> int:
    """The length of the longest end of the text that begins one of the words without being all of it."""
    for keep in range(min(max(map(len, words), default=1) - 1, len(text)), 0, -1):
        end = text[len(text) - keep :]
        if any(word.startswith(end) for word in words):
            return keep
    return 0
