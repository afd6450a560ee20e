"""Progress of a pull, a quantization or a verification: bars on a terminal, plain lines elsewhere.

Few files get a bar each; of many, the active ones do. A total bar covers all files.
"""

from __future__ import annotations

import time
from contextlib import nullcontext

from .bar import Bar, clock, spinner
from .tables import size
from .terminal import clean, height, is_terminal, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TextIO

_REDRAW_SECONDS = 0.1
_MAX_FILE_BARS = 4
_MAX_BUSY_BARS = 10
_TENTH_SECONDS = 5.0
_STEPS = ("quantizing", "verifying")
_PLAIN = ("copying", "downloading")
_FINISHED = ("stored", "already here", "taken from the hub's cache")


class ProgressBars:
    """Shows a stream's documents: `status`, and `completed` of `total` bytes of the file at `path`, or `overall_…`."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self.drawing = is_terminal(stream)
        self._files: dict[str, Bar] = {}
        self._overall_bars: dict[str, Bar] = {}
        self._status = ""
        self._drawn = 0
        self._next = 0.0
        self._printed: set[str] = set()
        self._tenth = (0, 0.0)
        self._lock: Any = nullcontext()
        self._stop: Any = None

    def __enter__(self) -> ProgressBars:
        """Redraws regularly, because time passes and the last document may not have been drawn."""
        if self.drawing:
            import threading

            self._lock, self._stop = threading.Lock(), threading.Event()
            threading.Thread(target=self._tick, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(whole=kind is None)

    def _tick(self) -> None:
        while not self._stop.wait(_REDRAW_SECONDS):
            with self._lock:
                if not self._stop.is_set() and (self._files or self._overall_bars or self._status):
                    self._draw(self._clock())

    def show(self, document: dict[str, Any]) -> None:
        with self._lock:
            self._show(document, self._clock())

    def _show(self, document: dict[str, Any], now: float) -> None:
        status, path = clean(str(document.get("status") or "")), clean(str(document.get("path") or ""))
        file = self._file(path, status, document, now) if path else None
        if file is None:
            self._status = status
        whole = self._overall(status if file is None else "", document, now)
        if self.drawing:
            if now >= self._next:
                self._next = now + _REDRAW_SECONDS
                self._draw(now)
        else:
            self._print_step(status, path, file)
            if whole is not None:
                self._print_tenth(whole, now)

    def _file(self, path: str, status: str, document: dict[str, Any], now: float) -> Bar:
        bar = self._files.get(path)
        if bar is None:
            bar = self._files[path] = Bar(path.rpartition("/")[2], now)
        bar.remark = "" if status in _PLAIN else status
        bar.finished = status in _FINISHED
        bar.update(int(document.get("completed") or 0), int(document.get("total") or 0), now)
        return bar

    def _overall(self, status: str, document: dict[str, Any], now: float) -> Bar | None:
        """The bar of all files; a step after the download has its own."""
        total, fetched = int(document.get("overall_total") or 0), int(document.get("fetched") or 0)
        completed, label = int(document.get("overall_completed") or 0), status if status in _STEPS else "total"
        if not total and status:
            total, completed, label = int(document.get("total") or 0), int(document.get("completed") or 0), status
        bar = self._overall_bars.get(label)
        if bar is None:
            if not total or (label not in ("total", *_STEPS) and completed >= total):
                return None
            bar = self._overall_bars[label] = Bar(label, now)
        bar.update(completed, total or bar.total, now, fetched or None)
        return bar

    # --- not on a terminal

    def _print_step(self, status: str, path: str, file: Bar | None) -> None:
        """One line for each started step, finished file and problem."""
        if file is None:
            key, text = status, status
        elif file.finished:
            key, text = path, f"{status} {path} {size(file.total)}"
        elif file.remark:
            key = f"{path} {''.join(each for each in status if not each.isdigit())}"
            text = f"{path}: {status}"
        else:
            return
        self._print_once(key, text)

    def _print_tenth(self, bar: Bar, now: float) -> None:
        """A line per tenth, at most one every few seconds."""
        tenth, when = 10 * bar.completed // bar.total, self._tenth[1]
        if not when:
            self._tenth = (tenth, now)
        elif tenth < 10 and tenth != self._tenth[0] and now - when >= _TENTH_SECONDS:
            self._tenth = (tenth, now)
            speed = bar.speed(now)
            left = f", {size(speed)}/s, {clock((bar.total - bar.completed) / speed)} left" if speed > 0 else ""
            self._print_once("", f"{bar.label} {10 * tenth}%: {size(bar.completed)} of {size(bar.total)}{left}")

    def _print_once(self, key: str, text: str) -> None:
        if key and key in self._printed:
            return
        self._printed.add(key)
        print(text, file=self._stream, flush=True)

    # --- on a terminal

    def _draw(self, now: float, *, last: bool = False) -> None:
        columns = width(self._stream)
        files = list(self._files.values())
        left = [bar for bar in files if not bar.done]
        busy = [bar for bar in left if bar.begun] or left[:1]
        room = max(1, min(_MAX_BUSY_BARS, height(self._stream) - len(self._overall_bars) - 2))
        shown = files if len(files) <= min(_MAX_FILE_BARS, room) else busy[:room]
        overall_bars = [bar for bar in self._overall_bars.values() if len(files) > 1 or bar.label != "total"]
        align = min(columns // 2, max((len(bar.label) for bar in (*shown, *overall_bars)), default=0))
        lines = [bar.line(columns, now, align) for bar in (*shown, *overall_bars)]
        moving = busy or any(not bar.done for bar in overall_bars)
        if not last and not moving and self._status:
            lines.append(f"{self._status} {spinner(now)}"[: columns - 1])
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        body = "".join(f"\r\x1b[2K{line}\n" for line in lines)
        self._stream.write(f"{up}{body}\x1b[J")
        self._stream.flush()
        self._drawn = len(lines)

    def close(self, *, whole: bool = False) -> None:
        """Leave the last bars on the screen, with the cursor below. `whole`: everything succeeded, show 100 %."""
        with self._lock:
            if self._stop is not None:
                self._stop.set()
            for bar in self._overall_bars.values() if whole else ():
                bar.completed = bar.total
            self._close()

    def _close(self) -> None:
        if self.drawing and (self._files or self._overall_bars):
            self._draw(self._clock(), last=True)
        elif self._drawn:
            self._stream.write(f"\x1b[{self._drawn}A\x1b[J")
            self._stream.flush()
        self._drawn = 0
        self._files.clear()
        self._overall_bars.clear()
