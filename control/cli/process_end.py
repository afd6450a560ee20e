"""Waits until a process that is nobody's child here has ended, without reading /proc: on Linux by a pidfd, on macOS by
kqueue, elsewhere by the lock that a daemon holds. One that has ended and that its parent has not waited for (a zombie)
has ended. Standard library only.
"""

from __future__ import annotations

import fcntl
import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

_POLL_SECONDS = 0.02


class ProcessEnd:
    """Made while the process runs, so that a later one with the same pid is not taken for it. `lock`: the file that a
    daemon keeps locked until it ends."""

    def __init__(self, pid: int, lock: Path | None = None) -> None:
        self.pid = pid
        self._lock = lock if lock is not None and _is_held(lock, pid) else None
        self._ended = False
        self._wait: Callable[[float], bool] = self._poll
        self._close: Callable[[], None] = _nothing
        for notice in (_pidfd, _kqueue):
            try:
                self._wait, self._close = notice(pid)
                break
            except ProcessLookupError:
                self._ended = True
                break
            except (OSError, AttributeError):  # not on this system, or not allowed in this container
                continue

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within so many seconds; with 0, whether it has ended."""
        self._ended = self._ended or self._wait(seconds)
        return self._ended

    def close(self) -> None:
        self._close()
        self._wait, self._close = self._poll, _nothing

    def __enter__(self) -> ProcessEnd:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _poll(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self._is_gone():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(_POLL_SECONDS, left))
        return True

    def _is_gone(self) -> bool:
        try:
            if os.waitpid(self.pid, os.WNOHANG)[0] == self.pid:
                return True
        except ChildProcessError:  # somebody else's child
            pass
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return self._lock is not None and not _is_held(self._lock, self.pid)


def _pidfd(pid: int) -> tuple[Callable[[float], bool], Callable[[], None]]:
    """Linux 5.3 and later: the descriptor is readable once the last thread has ended (pidfd_open(2))."""
    system: Any = os
    descriptor: int = system.pidfd_open(pid)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return lambda seconds: bool(poll.poll(seconds * 1000)), lambda: os.close(descriptor)


def _kqueue(pid: int) -> tuple[Callable[[float], bool], Callable[[], None]]:
    """macOS and the BSDs: NOTE_EXIT comes when the process exits, whether or not its parent waits; for one that has
    exited already, zombies included, the registration fails with ESRCH (kqueue(2))."""
    system: Any = select
    queue = system.kqueue()
    flags, notes = system.KQ_EV_ADD | system.KQ_EV_ONESHOT, system.KQ_NOTE_EXIT
    try:
        queue.control([system.kevent(pid, filter=system.KQ_FILTER_PROC, flags=flags, fflags=notes)], 0, 0)
    except BaseException:
        queue.close()
        raise
    return lambda seconds: bool(queue.control(None, 1, seconds)), queue.close


def _nothing() -> None:
    pass


def _is_held(lock: Path, pid: int) -> bool:
    """Whether the process of this pid holds the lock, whose file names its holder."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if os.read(descriptor, 20).strip() != str(pid).encode():
            return False
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
