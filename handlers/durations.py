"""How long a model stays in memory: seconds, or a duration in Go's notation, as Ollama's clients send it."""

from __future__ import annotations

from typing import Any

from ..daemon.settings.duration import LONGEST, seconds_of
from .failure import RequestError


def keep_alive(value: Any, param: str = "keep_alive") -> float | None:
    """Seconds; negative: for ever; None: not given. Raises RequestError in Go's wording."""
    if value is None:
        return None
    if isinstance(value, bool):
        raise _refused("Unsupported type: 'bool'", param)
    if isinstance(value, str):
        return parse(value, param)
    if isinstance(value, int | float):
        return float(value) if abs(value) < LONGEST else (-1.0 if value < 0 else LONGEST)
    kind = "[]interface {}" if isinstance(value, list) else "map[string]interface {}"
    raise _refused(f"Unsupported type: '{kind}'", param)


def parse(text: str, param: str = "keep_alive") -> float:
    """`1h30m`, `-1s`, `0`, in seconds. Raises RequestError in Go's wording."""
    try:
        return seconds_of(text)
    except ValueError as error:
        raise _refused(str(error), param) from None


def _refused(message: str, param: str) -> RequestError:
    return RequestError(message, param=param, code="invalid_value")
