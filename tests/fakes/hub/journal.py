"""What was asked of the test hub, in order."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from support.waiting import GUARD


@dataclass
class Request:
    """One request. `host`: "hub" or "cdn". `path` is decoded and without the query. `sent`: bytes of the body that went
    out, `fault`: whether the answer was spoilt on purpose, `done`: whether it is over."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    host: str
    raw_path: str = ""
    status: int = 0
    kind: str = ""
    sent: int = 0
    fault: bool = False
    done: bool = False

    @property
    def range(self) -> str | None:
        return self.headers.get("range")

    @property
    def had_token(self) -> bool:
        return "authorization" in self.headers

    @property
    def token(self) -> str | None:
        return self.headers.get("authorization", "").removeprefix("Bearer ").strip() or None


@dataclass
class Journal:
    """Grows by one entry a request; `total` counts bytes by kind of answer."""

    _entries: list[Request] = field(default_factory=list)
    _total: dict[str, int] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, request: Request) -> None:
        with self._changed:
            self._entries.append(request)
            self._changed.notify_all()

    def sent(self, request: Request, count: int) -> None:
        with self._changed:
            request.sent += count
            self._total[request.kind] = self._total.get(request.kind, 0) + count
            self._changed.notify_all()

    def finish(self, request: Request) -> None:
        with self._changed:
            request.done = True
            self._changed.notify_all()

    def total(self, kind: str) -> int:
        with self._changed:
            return self._total.get(kind, 0)

    def entries(self, pattern: str = "*", *, host: str | None = None, kind: str | None = None) -> list[Request]:
        """Those whose path fits a shell pattern."""
        with self._changed:
            return list(self._fitting(pattern, host, kind))

    def wait(self, pattern: str, count: int = 1, *, kind: str | None = None, seconds: float = GUARD) -> list[Request]:
        """Until so many such requests have come. AssertionError when they do not."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(list(self._fitting(pattern, None, kind))) >= count, seconds):
                raise AssertionError(f"no {count} requests for {pattern}: {[e.path for e in self._entries]}")
            return list(self._fitting(pattern, None, kind))

    def wait_for_bytes(self, count: int, *, kind: str = "content", seconds: float = GUARD) -> None:
        """Until so many bytes of files have gone out. AssertionError when they do not."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._total.get(kind, 0) >= count, seconds):
                raise AssertionError(f"{self._total} bytes sent, not {count}")

    def clear(self) -> None:
        with self._changed:
            self._entries.clear()
            self._total.clear()

    def _fitting(self, pattern: str, host: str | None, kind: str | None) -> Iterator[Request]:
        for entry in self._entries:
            if host in (None, entry.host) and kind in (None, entry.kind) and fnmatch.fnmatchcase(entry.path, pattern):
                yield entry
