"""What the test hub does wrong on demand, and to which requests."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from fakes.hub.journal import Request
from support.waiting import GUARD

Where = Literal["api", "redirect", "content", "any"]


class Gate:
    """A place where answers stop: `reached` once one is there, and it goes on when the gate is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def wait(self, seconds: float = GUARD) -> None:
        """Until an answer stands here. AssertionError when none comes."""
        if not self.reached.wait(seconds):
            raise AssertionError("no answer came to the gate")

    def open(self) -> None:
        self.opened.set()


@dataclass(frozen=True)
class Fault:
    """Which answers (`times` of them, None: all; the first `skip` are spared), and what is done to them.

    `on`: listings ("api"), the hub's pointing to the CDN ("redirect"), a file's bytes ("content"), or whichever comes.
    Positions (`flip`) are the file's; `cut`, `pause_at` count bytes of the answer's body.
    """

    times: int | None = 1
    skip: int = 0
    method: str | None = None
    on: Where = "any"
    # the head
    status: int | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    body: bytes | Iterable[bytes] | None = None
    etag: str | None = None
    commit: str | None = None
    location: str | None = None
    before: Gate | None = None
    # the body
    ignore_range: bool = False
    content_range: str | None = None
    shift: int = 0
    flip: int | None = None
    cut: int | None = None
    reset: bool = False
    rate: float | None = None
    pause_at: int | None = None
    gate: Gate | None = None
    gzip: bool = False
    no_length: bool = False
    chunked: bool = False
    extra: int = 0
    endless: bool = False


def truncated(at: int, *, times: int | None = 1) -> Fault:
    """The connection ends, quite politely, after so many bytes of what was announced."""
    return Fault(times, on="content", cut=at)


def reset(at: int = 0, *, times: int | None = 1, on: Where = "content") -> Fault:
    """The connection breaks after so many bytes."""
    return Fault(times, on=on, cut=at, reset=True)


def corrupt(at: int = 0, *, times: int | None = 1) -> Fault:
    """One byte of the file is another; the size is right."""
    return Fault(times, on="content", flip=at)


def shifted(by: int = 1, *, times: int | None = 1) -> Fault:
    """The head says what was asked for, the bytes come from elsewhere in the file."""
    return Fault(times, on="content", shift=by)


def wrong_range(content_range: str, *, times: int | None = 1) -> Fault:
    """206 with this Content-Range, whatever was asked for."""
    return Fault(times, on="content", content_range=content_range)


def without_ranges(*, times: int | None = None) -> Fault:
    """Range is ignored: 200 and the whole file."""
    return Fault(times, on="content", ignore_range=True)


def drip(rate: float, *, times: int | None = None, on: Where = "content") -> Fault:
    """So many bytes a second."""
    return Fault(times, on=on, rate=rate)


def stall(at: int = 0, *, times: int | None = 1, on: Where = "content") -> Fault:
    """After so many bytes nothing comes any more, and the connection stays open."""
    return Fault(times, on=on, pause_at=at, gate=Gate())


def paused(at: int, gate: Gate, *, times: int | None = 1) -> Fault:
    """After so many bytes the answer waits at the gate."""
    return Fault(times, on="content", pause_at=at, gate=gate)


def silent(*, times: int | None = 1, on: Where = "any") -> Fault:
    """Not even a head."""
    return Fault(times, on=on, before=Gate())


def failing(status: int, *, times: int | None = 1, on: Where = "any", **headers: str) -> Fault:
    """An error in place of the answer; `X_Error_Code="GatedRepo"` sets that header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(times, on=on, status=status, headers=named, body=b'{"error":"on purpose"}')


def limited(retry_after: str | None, *, times: int | None = 1, on: Where = "any") -> Fault:
    """429, with Retry-After as it is given."""
    headers = {} if retry_after is None else {"Retry_After": retry_after}
    return failing(429, times=times, on=on, **headers)


def moved(location: str, *, status: int = 302, times: int | None = None, on: Where = "any") -> Fault:
    """Pointed elsewhere."""
    return Fault(times, on=on, status=status, location=location, body=b"")


def html(*, times: int | None = 1, on: Where = "content") -> Fault:
    """200 and the page of a captive portal."""
    page = b"<!DOCTYPE html><html><body>Welcome to our airport. Please log in.</body></html>"
    return Fault(times, on=on, status=200, body=page, headers={"Content-Type": "text/html; charset=utf-8"})


class Faults:
    """Faults by the path of a request, as a shell pattern; the newest that fits and is not used up is taken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[_Planned] = []

    def plan(self, pattern: str, fault: Fault) -> None:
        with self._lock:
            self._planned.append(_Planned(pattern, fault, fault.skip, fault.times))

    def take(self, request: Request, kind: str) -> Fault | None:
        with self._lock:
            for planned in reversed(self._planned):
                if planned.fits(request, kind):
                    if planned.spare > 0:
                        planned.spare -= 1
                        continue
                    if planned.left is not None:
                        planned.left -= 1
                    return planned.fault
        return None

    def clear(self) -> None:
        """From now on all goes well, for those too who wait at a gate."""
        with self._lock:
            for planned in self._planned:
                for gate in (planned.fault.gate, planned.fault.before):
                    if gate is not None:
                        gate.open()
            self._planned.clear()


@dataclass
class _Planned:
    pattern: str
    fault: Fault
    spare: int
    left: int | None

    def fits(self, request: Request, kind: str) -> bool:
        fault = self.fault
        return (
            self.left != 0
            and fault.on in ("any", kind)
            and fault.method in (None, request.method)
            and fnmatch.fnmatchcase(request.path, self.pattern)
        )
