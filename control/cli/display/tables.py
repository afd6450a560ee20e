"""Tables without borders, and the units in them: sizes, ages, durations. Pure functions."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = "    "
_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
_SPANS = (
    (31_557_600.0, "year"),
    (2_629_800.0, "month"),
    (604_800.0, "week"),
    (86_400.0, "day"),
    (3_600.0, "hour"),
    (60.0, "minute"),
    (1.0, "second"),
)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns, four spaces apart."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        _GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def section(title: str, pairs: Sequence[tuple[str, str]]) -> str:
    """A title and its indented names and values."""
    widest = max((len(name) for name, _ in pairs), default=0)
    return "\n".join([f"  {title}", *(f"    {name.ljust(widest)}{_GAP}{value}".rstrip() for name, value in pairs)])


def size(count: float) -> str:
    """Decimal units: 522 MB, 4.7 GB, 13 GB."""
    unit = 0
    while count >= 999.5 and unit < len(_UNITS) - 1:
        count /= 1000
        unit += 1
    text = f"{count:.0f}" if unit == 0 or count >= 9.95 else f"{count:.1f}"
    return f"{text} {_UNITS[unit]}"


def parameters(count: int) -> str:
    """596M, 7.6B."""
    for factor, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if count >= factor:
            return f"{count / factor:.3g}{letter}"
    return str(count)


def span(seconds: float) -> str:
    """A length of time in its largest unit: 2 weeks, 1 minute."""
    for length, name in _SPANS:
        if seconds >= length:
            count = int(seconds / length)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return "less than a second"


def ago(moment: float, now: float | None = None) -> str:
    seconds = (time.time() if now is None else now) - moment
    return "just now" if seconds < 1 else f"{span(seconds)} ago"


def until(moment: float | None, now: float | None = None) -> str:
    if moment is None:
        return "forever"
    seconds = moment - (time.time() if now is None else now)
    return "now" if seconds < 1 else f"{span(seconds)} from now"


def duration(nanoseconds: float) -> str:
    """As Go prints a duration, to three digits: 812ms, 1.24s, 2m3s."""
    seconds = nanoseconds / 1e9
    if seconds < 1:
        return f"{seconds * 1000:.3g}ms"
    if seconds < 60:
        return f"{seconds:.3g}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"


def short_id(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
