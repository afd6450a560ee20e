"""JSON text for clients: one line whatever reads it."""

from __future__ import annotations

from typing import Any

import orjson

# Stands for a text that is filled in later. No model's name holds it.
HOLE = "\x00hole\x00"

# Line ends to Python's splitlines and to JavaScript of old, though not to JSON: a reader of NDJSON that splits there
# (httpx does) would see half a document.
_ESCAPES = (
    (b"\xc2\x85", b"\\u0085"),
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
)


def encode(value: Any) -> bytes:
    """Compact JSON without any character that some reader takes for the end of a line."""
    data = orjson.dumps(value)
    if not data.isascii():
        for raw, escaped in _ESCAPES:
            if raw in data:
                data = data.replace(raw, escaped)
    return data
