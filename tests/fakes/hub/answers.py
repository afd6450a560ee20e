"""An answer of the test hub before it is sent: a head, and a body in memory or a stretch of a file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fakes.hub.contents import Content
from fakes.hub.faults import Fault
from fakes.hub.journal import Request

_RANGE = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))")


@dataclass
class Answer:
    """`kind`: "api", "redirect", "content" or "error". With `content`, `start` and `stop` bound what of it goes out."""

    kind: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] = b""
    content: Content | None = None
    start: int = 0
    stop: int = 0

    @property
    def length(self) -> int | None:
        """Bytes of the body, None for one that nobody has counted."""
        if self.content is not None:
            return self.stop - self.start
        return len(self.body) if isinstance(self.body, bytes) else None


def document(value: Any, headers: dict[str, str] | None = None) -> Answer:
    body = json.dumps(value).encode("ascii")
    return Answer("api", 200, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, body)


def refusal(status: int, code: str | None, message: str) -> Answer:
    """An error as the hub words it; `code` is one of its X-Error-Codes."""
    headers = {"Content-Type": "application/json; charset=utf-8", "X-Error-Message": message}
    if code is not None:
        headers["X-Error-Code"] = code
    return Answer("error", status, headers, json.dumps({"error": message}).encode())


def redirect(status: int, location: str, headers: dict[str, str] | None = None) -> Answer:
    body = f"Temporary Redirect. Redirecting to {location}".encode()
    return Answer("redirect", status, {"Content-Type": "text/plain", "Location": location, **(headers or {})}, body)


def file_answer(content: Content, headers: dict[str, str]) -> Answer:
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **headers}
    return Answer("content", 200, headers, content=content, stop=content.size)


def bend(answer: Answer, fault: Fault) -> Answer:
    """The fault's own head and body in place of the right ones."""
    headers = dict(answer.headers)
    if fault.etag is not None:
        for name in ("ETag", "X-Linked-ETag"):
            if name in headers:
                headers[name] = fault.etag
    if fault.commit is not None:
        headers["X-Repo-Commit"] = fault.commit
    if fault.location is not None:
        headers["Location"] = fault.location
    if fault.body is not None:
        answer = Answer(answer.kind, 200, headers, fault.body)
        for name in ("Content-Disposition", "Accept-Ranges"):
            headers.pop(name, None)
    for name, value in fault.headers.items():
        headers = {given: each for given, each in headers.items() if given.lower() != name.lower()}
        if value is not None:
            headers[name] = value
    answer.headers = headers
    answer.status = fault.status or answer.status
    return answer


def take_range(answer: Answer, request: Request, fault: Fault | None) -> None:
    """Make it 206 or 416 where the request asks for a part, and If-Range does not object."""
    if answer.content is None or answer.status != 200:
        return
    size = answer.content.size
    condition = request.headers.get("if-range")
    asked = _RANGE.fullmatch(request.range or "")
    if asked is not None and not (fault and fault.ignore_range) and condition in (None, answer.headers.get("ETag")):
        first, last, suffix = asked.groups()
        start = int(first) if first is not None else max(0, size - int(suffix))
        stop = min(size, int(last) + 1) if last else size
        if start >= size or stop <= start:
            answer.status, answer.content, answer.body = 416, None, b""
            answer.headers["Content-Range"] = f"bytes */{size}"
            return
        answer.status, answer.start, answer.stop = 206, start, stop
        answer.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    if fault and fault.content_range is not None:
        answer.status = 206
        answer.headers["Content-Range"] = fault.content_range
