"""The inputs of an embedding request, and the limits of how many there may be."""

from __future__ import annotations

from ..failure import RequestError

MOST_INPUTS = 2048  # OpenAI's own


def check_count(count: int, param: str) -> None:
    """Raises RequestError for none, and for too many."""
    if not count:
        raise RequestError(f"'{param}' is empty", param=param, code="invalid_value")
    if count > MOST_INPUTS:
        message = f"'{param}' has {count} entries, and {MOST_INPUTS} is the most of one request"
        raise RequestError(message, param=param, code="invalid_value")


def check_texts(texts: list[str], param: str) -> None:
    """Raises RequestError for an empty one."""
    for place, text in enumerate(texts):
        if not text:
            where = f"'{param}'" if len(texts) == 1 else f"'{param}[{place}]'"
            raise RequestError(f"{where} is an empty string", param=param, code="invalid_value")
