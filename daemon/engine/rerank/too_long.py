"""The refusal of a document that does not fit."""

from __future__ import annotations

from ..prompt.render import Refused


def too_long(place: int, tokens: int | None, longest: int) -> Refused:
    """`tokens` of query and document, where they were counted."""
    size = "" if tokens is None else f" ({tokens} tokens)"
    return Refused(
        "context_length_exceeded",
        f"document {place} with the query{size} is longer than the model's maximum of {longest} tokens: "
        "shorten it, or send truncate: true to have it cut",
        "documents",
    )
