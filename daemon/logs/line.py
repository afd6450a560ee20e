"""One log record as one line: JSON or text, escaped, at most 1 KiB, with secrets masked."""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

LineStyle = Literal["json", "text"]
MAX_LINE = 1024
_MAX_MESSAGE = 700
_MAX_FIELD = 256
_SHORTEST_SECRET = 16  # masking a shorter one everywhere would make the log unreadable
# What a terminal or a log reader may act on: control characters, line separators, directional overrides.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CREDENTIAL = re.compile(r"(?i)\b((?:authorization|x-api-key)\s*[:=]\s*(?:bearer\s+)?|bearer\s+)\S+")


def escape(text: str) -> str:
    """The text with everything that could break a line or control a terminal written as an escape."""
    return _UNSAFE.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


class Formatter(logging.Formatter):
    """Records as lines without the line's end. `secrets` are masked wherever they occur."""

    def __init__(self, style: LineStyle, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._json = style == "json"
        worth = {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}
        # The longest first: else the rest of a secret that begins with another one would stay.
        self._secrets = tuple(sorted(worth, key=len, reverse=True))

    def format(self, record: logging.LogRecord) -> str:
        message = self._clean(record.getMessage(), _MAX_MESSAGE)
        fields = {key: self._value(value) for key, value in getattr(record, "fields", {}).items()}
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = self._clean(f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}", _MAX_FIELD)
            fields["trace"] = self._clean(_frames(record.exc_info[1]), _MAX_FIELD)
        line = self._line(record, message, fields)
        while len(line.encode()) > MAX_LINE:
            if fields:
                del fields[max(fields, key=lambda key: len(str(fields[key])))]
            else:
                message = message[: len(message) // 2] + "…"
            line = self._line(record, message, fields)
        return line

    def _line(self, record: logging.LogRecord, message: str, fields: Mapping[str, Any]) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        name = record.name.removeprefix("mlx_serve.")
        if self._json:
            head = {"time": time, "level": record.levelname.lower(), "logger": name, "message": message}
            return json.dumps({**head, **{key: value for key, value in fields.items() if key not in head}})
        tail = "".join(f" {key}={json.dumps(value) if _quoted(value) else value}" for key, value in fields.items())
        return f"{time} {record.levelname.lower():<7} {name}: {message}{tail}"

    def _value(self, value: Any) -> Any:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return self._clean(str(value), _MAX_FIELD)

    def _clean(self, text: str, limit: int) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        text = escape(_CREDENTIAL.sub(r"\1***", text))
        return text if len(text) <= limit else text[: limit - 1] + "…"


def _quoted(value: Any) -> bool:
    return isinstance(value, str) and (not value or any(character in value for character in ' "='))


def _frames(error: BaseException) -> str:
    """Where an exception came from, innermost first: `file:line function < file:line function`."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
