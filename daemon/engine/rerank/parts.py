"""A request's documents in pieces that are tokenized at a time. Knows no MLX."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ...protocol import Rerank

PART_DOCUMENTS = 64
PART_CHARACTERS = 256 << 10


def parts(work: Rerank) -> Iterator[Rerank]:
    """So many documents at a time, or so many characters with the query that stands before each, whatever is less."""
    start = size = 0
    for place, document in enumerate(work.documents):
        taken = len(document) + len(work.query)
        if place > start and (place - start == PART_DOCUMENTS or size + taken > PART_CHARACTERS):
            yield _part(work, start, place)
            start, size = place, 0
        size += taken
    yield _part(work, start, len(work.documents))


def _part(work: Rerank, start: int, end: int) -> Rerank:
    return msgspec.structs.replace(work, documents=work.documents[start:end], first=work.first + start)
