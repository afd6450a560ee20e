"""How long a model stays in memory: seconds, or a duration in Go's notation, as Ollama's clients send it."""

from __future__ import annotations

import re
from typing import Any

from .failure import RequestError

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_UNIT = re.compile(r"[^0-9.]+")
_LONGEST = 2**63 / 1e9


def keep_alive(value: Any, param: str = "keep_alive") -> float | None:
    """Seconds; negative: for ever; None: not given. Raises RequestError in Go's wording."""
    if value is None:
        return None
    if isinstance(value, bool):
        raise _refused("Unsupported type: 'bool'", param)
    if isinstance(value, str):
        return parse(value, param)
    if isinstance(value, int | float):
        return float(value) if abs(value) < _LONGEST else (-1.0 if value < 0 else _LONGEST)
    kind = "[]interface {}" if isinstance(value, list) else "map[string]interface {}"
    raise _refused(f"Unsupported type: '{kind}'", param)


def parse(text: str, param: str = "keep_alive") -> float:
    """`1h30m`, `-1s`, `0`: Go's time.ParseDuration, in seconds."""
    shown = text if len(text) <= 64 else text[:64] + "…"
    sign = -1.0 if text.startswith("-") else 1.0
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0.0
    total, position = 0.0, 0
    while position < len(rest):
        number = _NUMBER.match(rest, position)
        if number is None:
            raise _refused(f'time: invalid duration "{shown}"', param)
        unit = _UNIT.match(rest, number.end())
        if unit is None:
            raise _refused(f'time: missing unit in duration "{shown}"', param)
        if unit[0] not in _UNITS:
            raise _refused(f'time: unknown unit "{unit[0][:16]}" in duration "{shown}"', param)
        total += float(number[0]) * _UNITS[unit[0]]
        position = unit.end()
    if not rest or total >= _LONGEST:
        raise _refused(f'time: invalid duration "{shown}"', param)
    return sign * total


def _refused(message: str, param: str) -> RequestError:
    return RequestError(message, param=param, code="invalid_value")
