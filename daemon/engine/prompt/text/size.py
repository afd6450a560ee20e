"""How long a text may be for a context of so many tokens: what cannot fit is refused before megabytes are tokenized."""

from __future__ import annotations

import re

BYTES_PER_TOKEN = 24
"""More than any vocabulary reaches over a whole prompt: Gemma 3's has 5 for English, 11 to 13 for Hindi, Thai and
Bengali, 14 to 16 for Tamil."""
USUAL_BYTES = 4
"""Of a token of English text: for an estimate of what is not tokenized."""
SLACK = 4096
LEAST_COUNTED = 4 << 20
MOST_COUNTED = 16 << 20
LONGEST_RUN = 16
MOST_FOR_RUNS = 3
_RUNS = re.compile(rf"([\s\-=_*#.~+/|])\1{{{LONGEST_RUN},}}")


def most_bytes(tokens: int) -> int:
    return BYTES_PER_TOKEN * tokens + SLACK


def most_counted(tokens: int) -> int:
    """The bytes of text that are tokenized at once where they need not fit a context: what a context of so many tokens
    may have, and LEAST_COUNTED for a small one; never more than MOST_COUNTED, whose tokenizing takes 2 GB."""
    return min(max(most_bytes(tokens), LEAST_COUNTED), MOST_COUNTED)


def most_characters(tokens: int) -> int:
    """The limit whatever the text consists of."""
    return MOST_FOR_RUNS * most_bytes(tokens)


def size(text: str) -> int:
    """In bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def fits(texts: list[str], tokens: int) -> bool:
    """Whether texts may be tokenized. One token can be a hundred spaces or dashes, so that a run of one such character
    counts as 16 at most; but no more than three times the limit passes in this way."""
    total = sum(map(size, texts))
    if total <= most_bytes(tokens):
        return True
    if total > MOST_FOR_RUNS * most_bytes(tokens):
        return False
    return sum(size(_RUNS.sub(lambda run: run[0][:LONGEST_RUN], text)) for text in texts) <= most_bytes(tokens)
