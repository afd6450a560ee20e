"""The daemon's log: where lines go. `line` has their format.

Writing happens on a thread of its own, so that a full disk or a blocked pipe loses lines and
nothing else. Callers use `logging.getLogger("mlx_serve.…")` as usual; `extra={"fields": {…}}` adds keys of their own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from .line import Formatter, LineStyle

MAX_FILE = 10_000_000
KEPT_FILES = 3
_MAX_PENDING = 10_000


class LogSink(logging.Handler):
    """A handler that writes whole lines to a descriptor from its own thread. It raises nothing."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._pending: deque[bytes] = deque()
        self._wake = threading.Condition()
        self._writing = False
        self._closed = False
        self._dropped = 0
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode(errors="backslashreplace") + b"\n"
        except Exception as error:  # a bad argument of a log call must not end the request that made it
            line = (
                f'{{"level":"error","message":"could not format a log record error={type(error).__name__}"}}\n'.encode()
            )
        with self._wake:
            if len(self._pending) >= _MAX_PENDING or self._closed:
                self._dropped += 1
                return
            self._pending.append(line)
            self._wake.notify()

    def flush(self, seconds: float = 1.0) -> None:
        """Wait until everything is written, but not for a descriptor that takes nothing."""
        with self._wake:
            self._wake.wait_for(lambda: not self._pending and not self._writing, seconds)

    def close(self) -> None:
        self.flush()
        with self._wake:
            self._closed = True
            self._wake.notify()
        super().close()

    def _write_all(self) -> None:
        while True:
            with self._wake:
                self._writing = False
                self._wake.notify_all()
                self._wake.wait_for(lambda: self._pending or self._closed)
                if not self._pending:
                    return
                self._writing = True
                lines = b"".join(self._pending)
                self._pending.clear()
                dropped, self._dropped = self._dropped, 0
            if dropped:
                lines += _note("warning", f"drop log lines count={dropped}")
            self._write(lines)

    def _write(self, lines: bytes) -> None:
        view = memoryview(lines)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except OSError:  # no space, a closed pipe: these lines are lost, the daemon goes on
                return


def _note(level: str, message: str) -> bytes:
    return f'{{"level": "{level}", "logger": "daemon.logs", "message": "{message}"}}\n'.encode()


class FileSink(LogSink):
    """A sink that owns its file: at `max_bytes` it becomes `<name>.1` and so on, of which `kept` files stay in all."""

    def __init__(self, path: Path, max_bytes: int = MAX_FILE, kept: int = KEPT_FILES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._kept = kept
        self._reopen = False
        descriptor = _open(path)
        self._size = os.fstat(descriptor).st_size
        super().__init__(descriptor)

    def reopen(self) -> None:
        """Open the path again before the next line, for when another program has moved the file."""
        self._reopen = True

    def _write(self, lines: bytes) -> None:
        with contextlib.suppress(OSError):  # the old file is still open: better there than nowhere
            if self._reopen:
                self._reopen = False
                self._open_again()
            elif self._size and self._size + len(lines) > self._max_bytes:
                for number in range(self._kept - 1, 0, -1):
                    older = self._path.with_name(f"{self._path.name}.{number}")
                    newer = self._path if number == 1 else self._path.with_name(f"{self._path.name}.{number - 1}")
                    with contextlib.suppress(FileNotFoundError):
                        newer.replace(older)
                self._open_again()
        super()._write(lines)
        self._size += len(lines)

    def _open_again(self) -> None:
        descriptor = _open(self._path)
        for standard in (1, 2):
            if _same_file(standard, self._descriptor):
                os.dup2(descriptor, standard)
        os.dup2(descriptor, self._descriptor, inheritable=False)
        os.close(descriptor)
        self._size = os.fstat(self._descriptor).st_size


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _same_file(one: int, other: int) -> bool:
    try:
        return os.path.sameopenfile(one, other)
    except OSError:
        return False


class Logs:
    """What `start` set up; `close` writes what is left."""

    def __init__(self, file: FileSink | None, sinks: list[LogSink]) -> None:
        self._file = file
        self._sinks = sinks
        self._secrets: set[str] = set()

    def reopen(self) -> None:
        if self._file is not None:
            self._file.reopen()

    def configure(self, level: str, style: LineStyle, secrets: Iterable[str]) -> None:
        """Other lines from now on. Secrets of before stay masked."""
        self._secrets |= set(secrets)
        formatter = Formatter(style, self._secrets)
        logging.getLogger("mlx_serve").setLevel(level)
        for sink in self._sinks:
            sink.setFormatter(formatter)

    def close(self) -> None:
        for sink in self._sinks:
            logging.getLogger().removeHandler(sink)
            sink.close()


def start(
    path: Path | None,
    *,
    level: str = "INFO",
    style: LineStyle = "json",
    secrets: Iterable[str] = (),
    stderr: bool = True,
) -> Logs:
    """Send every record to `path` and, with `stderr` and unless that is the same file or /dev/null, to standard error.

    Raises OSError when the file cannot be opened.
    """
    logging.raiseExceptions = False
    sinks: list[LogSink] = []
    file = FileSink(path) if path is not None else None
    if file is not None:
        sinks.append(file)
    if stderr and _worth_writing(file):
        sinks.append(LogSink(2))
    root = logging.getLogger()
    root.setLevel(logging.WARNING)  # of other libraries, warnings and errors only
    started = Logs(file, sinks)
    started.configure(level, style, secrets)
    for sink in sinks:
        root.addHandler(sink)
    return started


def _worth_writing(file: FileSink | None) -> bool:
    try:
        error = os.fstat(2)
    except OSError:
        return False
    if os.path.samestat(error, Path(os.devnull).stat()):
        return False
    return file is None or not _same_file(2, file._descriptor)
