"""A line on the terminal that says what is waited for, until there is something else to show."""

from __future__ import annotations

import threading
import time

from .bar import clock, spinner
from .terminal import clean, colours, is_terminal, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

_AFTER_SECONDS = 0.7
_REDRAW_SECONDS = 0.1
_LOOK_SECONDS = 0.5


class WaitingLine:
    """Asks `look` what is going on, in a thread of its own and only after a moment; None: nothing to say. Draws nothing
    where `stream` is no terminal. `end` clears the line and may be called at any time and repeatedly."""

    def __init__(self, look: Callable[[], str | None], stream: TextIO) -> None:
        self._look = look
        self._stream = stream
        self._began = time.monotonic()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._drawn = False
        if is_terminal(stream):
            threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        said, asked = None, 0.0
        pause = _AFTER_SECONDS
        while not self._over.wait(pause):
            pause, now = _REDRAW_SECONDS, time.monotonic()
            if now - asked >= _LOOK_SECONDS:
                said, asked = self._look(), now
            self._draw(said, now)

    def _draw(self, said: str | None, now: float) -> None:
        with self._lock:
            if self._over.is_set() or (said is None and not self._drawn):
                return
            text = "" if said is None else f"{spinner(now)} {clean(said)} ({clock(now - self._began)})"
            text = text[: width(self._stream) - 1]
            dimmed = f"\x1b[2m{text}\x1b[0m" if colours(self._stream) else text
            self._stream.write(f"\r\x1b[2K{dimmed}")
            self._stream.flush()
            self._drawn = True

    def end(self) -> None:
        with self._lock:
            self._over.set()
            if self._drawn:
                self._stream.write("\r\x1b[2K")
                self._stream.flush()
                self._drawn = False

    def __enter__(self) -> WaitingLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
