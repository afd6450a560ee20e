"""Lengths of time as Go writes them, which is how Ollama's clients and our settings file state them: `1h30m`."""

from __future__ import annotations

import re

LONGEST = 2**63 / 1e9
"""Seconds that Go's own type can hold."""

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_UNIT = re.compile(r"[^0-9.]+")


def seconds_of(text: str) -> float:
    """`1h30m`, `-1s`, `0`: Go's time.ParseDuration, in seconds. Raises ValueError in its wording."""
    shown = text if len(text) <= 64 else text[:64] + "…"
    sign = -1.0 if text.startswith("-") else 1.0
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0.0
    total, position = 0.0, 0
    while position < len(rest):
        number = _NUMBER.match(rest, position)
        if number is None:
            raise ValueError(f'time: invalid duration "{shown}"')
        unit = _UNIT.match(rest, number.end())
        if unit is None:
            raise ValueError(f'time: missing unit in duration "{shown}"')
        if unit[0] not in _UNITS:
            raise ValueError(f'time: unknown unit "{unit[0][:16]}" in duration "{shown}"')
        total += float(number[0]) * _UNITS[unit[0]]
        position = unit.end()
    if not rest or total >= LONGEST:
        raise ValueError(f'time: invalid duration "{shown}"')
    return sign * total
