"""The end of a text that may be the beginning of something else."""

from __future__ import annotations

from collections.abc import Sequence


def overlap(text: str, words: Sequence[str]) -> int:
    """The length of the longest end of the text that begins one of the words without being all of it."""
    if not text:
        return 0
    firsts = {word[0] for word in words if word}
    for keep in range(min(max(map(len, words), default=1) - 1, len(text)), 0, -1):
        if text[len(text) - keep] not in firsts:
            continue
        end = text[len(text) - keep :]
        if any(word.startswith(end) for word in words):
            return keep
    return 0
