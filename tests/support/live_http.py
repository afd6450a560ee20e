"""HTTP with a live daemon, from tests: whole answers, streams read record by record, and the Unix socket."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.waiting import GUARD


@dataclass(frozen=True)
class Answer:
    """A whole answer; `headers` by lower-case names, `seconds` from the request to its end."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """What the model said, in whichever dialect."""
        document = self.json
        if "error" in document:
            raise AssertionError(f"{self.status}: {document['error']}")
        if "choices" in document:
            choice = document["choices"][0]
            return str(choice["message"]["content"] if "message" in choice else choice["text"])
        return str(document["message"]["content"] if "message" in document else document["response"])

    @property
    def error(self) -> Any:
        """OpenAI's error object, or Ollama's sentence."""
        return self.json["error"]


class Streamed:
    """A streamed answer under way: records as they come, `[DONE]` as text. `whole` once HTTP's own end has come, which
    http.client would not tell from a connection that broke off."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self.answer = connection.getresponse()
        self.status = self.answer.status
        self.headers = self.answer.headers
        self.whole = False
        self.records: list[Any] = []
        self._lines = self._read_lines()

    def _read_lines(self) -> Iterator[bytes]:
        if not self.answer.chunked:
            yield from self.answer.read().splitlines()
            self.whole = True
            return
        begun = b""
        while (chunk := self._read_chunk()) is not None:
            *lines, begun = (begun + chunk).split(b"\n")
            yield from lines
            if not chunk:
                self.whole = True
                return

    def _read_chunk(self) -> bytes | None:
        """The next chunk, b"" for the last one, None when the connection broke off."""
        try:
            size = int(self.answer.fp.readline() or b"-1", 16)
            data = self.answer.fp.read(size + 2) if size >= 0 else b""
        except ConnectionResetError:
            return None
        return data[:-2] if size >= 0 and len(data) == size + 2 else None

    def __iter__(self) -> Iterator[Any]:
        while (record := self.next()) is not None:
            yield record

    def next(self) -> Any:
        """The next record; None at the end, a good one or not."""
        for line in self._lines:
            text = line.strip().removeprefix(b"data: ")
            if text and not text.startswith((b":", b"event:")):
                record = "[DONE]" if text == b"[DONE]" else json.loads(text)
                self.records.append(record)
                return record
        self.drop()
        return None

    def wait_for_text(self) -> str:
        """Read on until the model has said something; that."""
        for record in self:
            if text := said(record):
                return text
        raise AssertionError(f"the stream ended without text: {self.records}")

    @property
    def text(self) -> str:
        """What was said in the records so far."""
        return "".join(said(record) for record in self.records)

    @property
    def last(self) -> Any:
        return self.records[-1]

    def rest(self) -> Streamed:
        """Read to the end."""
        for _ in self:
            pass
        return self

    def drop(self) -> None:
        """Hang up."""
        self.answer.close()
        self._connection.close()

    def __enter__(self) -> Streamed:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()


def said(record: Any) -> str:
    """The text in one record of a stream, in whichever dialect."""
    if not isinstance(record, dict):
        return ""
    if "choices" in record:
        return "".join(c["delta"].get("content") or "" if "delta" in c else c["text"] for c in record["choices"])
    return str(record["message"]["content"] if "message" in record else record.get("response", ""))


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


class SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("mlx-serve", timeout=2 * GUARD)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def exchange(connection: http.client.HTTPConnection, method: str, path: str, body: Any) -> Answer:
    began = time.monotonic()
    try:
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, content, {"Content-Type": "application/json"} if content else {})
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, headers, answer.read(), time.monotonic() - began)
    finally:
        connection.close()
