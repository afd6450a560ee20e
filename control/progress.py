"""Progress of a pull or a check: bars with speed and time left on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time

from .tables import size
from .terminal import is_terminal, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TextIO

_REDRAW_SECONDS = 0.1
_SPEED_SECONDS = 5.0
_MOST_BARS = 12
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Item:
    """One file, or one step without a size. The speed is that of the last seconds, so that a stall shows."""

    def __init__(self, label: str, now: float) -> None:
        self.label = label
        self.completed = 0
        self.total = 0
        self._marks = [(now, 0)]

    def update(self, completed: int, total: int, now: float) -> None:
        if len(self._marks) == 1 and self.completed == 0 and completed:
            self._marks = [(now, completed)]  # what was there before is not speed
        self.completed, self.total = completed, total
        self._marks.append((now, completed))
        while len(self._marks) > 2 and self._marks[1][0] < now - _SPEED_SECONDS:
            del self._marks[0]

    @property
    def done(self) -> bool:
        return 0 < self.total <= self.completed

    def speed(self) -> float:
        """Bytes per second."""
        (first, start), (last, end) = self._marks[0], self._marks[-1]
        return (end - start) / (last - first) if last > first else 0.0

    def line(self, columns: int, now: float) -> str:
        if not self.total:
            return f"{self.label} {_SPINNER[int(now * 10) % len(_SPINNER)]}"
        fraction = min(1.0, self.completed / self.total)
        speed = self.speed()
        if self.done:
            right = f" {size(self.total):>8}"
        else:
            left = f"{_clock((self.total - self.completed) / speed)}" if speed > 0 else ""
            right = (
                f" {size(self.completed)}/{size(self.total)} {f'{size(speed)}/s' if speed > 0 else '':>10} {left:>6}"
            )
        start = f"{self.label}: {fraction * 100:3.0f}% "
        room = min(40, columns - len(start) - len(right) - 3)
        if room < 5:
            return (start + right)[: columns - 1]
        filled = int(fraction * room)
        return f"{start}▕{'█' * filled}{' ' * (room - filled)}▏{right}".rstrip()


def _clock(seconds: float) -> str:
    whole = round(seconds)
    if whole >= 360_000:
        return "> 99h"
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60}m"
    return f"{whole // 60}m{whole % 60}s" if whole >= 60 else f"{whole}s"


class Progress:
    """Takes a stream's documents (`status`, `path`, `completed`, `total`) and shows where it stands."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._drawing = is_terminal(stream)
        self._items: dict[str, Item] = {}
        self._status = ""
        self._drawn = 0
        self._next = 0.0
        self._told: set[str] = set()

    def show(self, document: dict[str, Any]) -> None:
        now = self._clock()
        self._status = str(document.get("status") or self._status)
        total = int(document.get("total") or 0)
        path = document.get("path")
        subject = str(path or "")
        if subject:
            item = self._items.setdefault(subject, Item("", now))
            item.label = f"{self._status} {subject.rpartition('/')[2]}"
            item.update(int(document.get("completed") or 0), total, now)
        if not self._drawing:
            self._tell(subject)
        elif now >= self._next:
            self._next = now + _REDRAW_SECONDS
            self._draw(now)

    def _tell(self, subject: str) -> None:
        """One plain line for each step begun and each file done: a log is no place for percentages."""
        item = self._items.get(subject)
        key = subject or self._status
        if key in self._told or (item is not None and not item.done):
            return
        self._told.add(key)
        print(self._status if item is None else f"{item.label} {size(item.total)}", file=self._stream, flush=True)

    def _draw(self, now: float) -> None:
        columns = width(self._stream)
        items = list(self._items.values())
        busy = [item for item in items if not item.done]
        shown = items if len(items) <= _MOST_BARS else busy[-_MOST_BARS:]
        lines = [item.line(columns, now) for item in shown]
        if not busy and self._status:
            lines.append(f"{self._status} {_SPINNER[int(now * 10) % len(_SPINNER)]}")
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        body = "".join(f"\r\x1b[2K{line[: columns - 1]}\n" for line in lines)
        self._stream.write(f"{up}{body}\x1b[J")
        self._stream.flush()
        self._drawn = len(lines)

    def close(self) -> None:
        """Leave the finished bars on the screen and the cursor below them."""
        if self._drawing and self._items:
            self._status = ""
            self._draw(self._clock())
        elif self._drawn:
            self._stream.write(f"\x1b[{self._drawn}A\x1b[J")
            self._stream.flush()
        self._drawn = 0
