"""One progress bar: bytes done, speed, time left. Pure values; knows no terminal."""

from __future__ import annotations

from .tables import size

_SPEED_SECONDS = 5.0
_WIDEST = 40
_RIGHT = 32
_SLOWEST = 1000  # bytes a second; below it, speed and time left are not shown
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Bar:
    """The bar of one file, or of all. The speed is that of the last seconds, so that a stall shows.

    `remark`, when set, is shown instead of speed and time left.
    """

    def __init__(self, label: str, now: float) -> None:
        self.label = label
        self.remark = ""
        self.completed = 0
        self.total = 0
        self.finished = False
        self._marks = [(now, 0)]

    def update(self, completed: int, total: int, now: float, moved: int | None = None) -> None:
        """`moved`: the bytes that count for the speed, where some of the completed ones were there before."""
        moved = completed if moved is None else moved
        last = self._marks[-1][1]
        if last == 0 or moved < last:
            self._marks = [(now, moved)]  # bytes that were there before do not count as speed, nor do repeated ones
        self.completed, self.total = completed, total
        self._marks.append((now, moved))
        while len(self._marks) > 2 and self._marks[1][0] < now - _SPEED_SECONDS:
            del self._marks[0]

    @property
    def begun(self) -> bool:
        return self.completed > 0 or bool(self.remark)

    @property
    def done(self) -> bool:
        return self.finished or 0 < self.total <= self.completed

    def speed(self, now: float) -> float:
        """Bytes per second."""
        (first, start), (last, end) = self._marks[0], self._marks[-1]
        return (end - start) / (max(last, now) - first) if last > first else 0.0

    def line(self, columns: int, now: float, label_width: int = 0) -> str:
        """At most `columns` - 1 characters."""
        label = _cut(self.label, max(8, columns // 2))
        if not self.total:
            return f"{label} {self.remark or spinner(now)}"[: columns - 1]
        fraction = min(1.0, self.completed / self.total)
        start = f"{f'{label}:'.ljust(label_width + 1)} {int(fraction * 100):3d}% "
        right = f" {self._right(now)}".rstrip()
        room = min(_WIDEST, columns - len(start) - _RIGHT - 3)
        if room < 5:
            return (start + right.strip())[: columns - 1]
        filled = int(fraction * room)
        return f"{start}▕{'█' * filled}{' ' * (room - filled)}▏{right}"

    def _right(self, now: float) -> str:
        if self.done:
            return size(self.total)
        if self.remark:
            return self.remark
        speed = self.speed(now)
        fast = f"{size(speed)}/s" if speed >= _SLOWEST else ""
        left = clock((self.total - self.completed) / speed) if speed >= _SLOWEST else ""
        return f"{f'{size(self.completed)}/{size(self.total)}':<15} {fast:>8} {left:>6}"


def spinner(now: float) -> str:
    return _SPINNER[int(now * 10) % len(_SPINNER)]


def clock(seconds: float) -> str:
    whole = round(seconds)
    if whole >= 360_000:
        return "> 99h"
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60}m"
    return f"{whole // 60}m{whole % 60}s" if whole >= 60 else f"{whole}s"


def _cut(text: str, most: int) -> str:
    """Keeps the end, which says more than the beginning."""
    return text if len(text) <= most else "…" + text[-(most - 1) :]
