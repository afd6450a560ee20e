"""Decodes pictures that came in a request's body, in pieces: base64 holds Python's interpreter lock while it decodes.

Not for the event loop. Tens of megabytes take tenths of a second; between two pieces the loop has its turn.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import unquote_to_bytes

from ...daemon.fetching.fetch_limits import MIB, PICTURE_BYTES
from .picture_source import Inline, invalid

PIECE = 1 << 20
ESCAPED = 1 << 20
_BLANKS = b" \t\r\n\f"
_BLANK_SET = frozenset(_BLANKS)
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
TOO_LARGE = f"the picture is larger than {PICTURE_BYTES // MIB} MiB"


def decoded(source: Inline) -> bytes:
    """The picture's file. Blanks in base64 are skipped and its padding may be missing; nothing else is forgiven.
    Raises RequestError."""
    if not source.base64:
        return _unescaped(source)
    if source.text.find("%", source.start) >= 0:
        plain = _unescaped(source).decode("ascii", "replace")
        source = replace(source, text=plain, start=0)
    parts: list[bytes] = []
    size = 0
    for part in _base64(source):
        size += len(part)
        if size > PICTURE_BYTES:
            raise invalid(source.param, TOO_LARGE)
        parts.append(part)
    return b"".join(parts)


def check_size(source: Inline) -> None:
    """Refuse at once what is far too large, blanks and escapes aside. Raises RequestError."""
    length = len(source.text) - source.start
    if length > 3 * (PICTURE_BYTES + MIB):
        raise invalid(source.param, TOO_LARGE)


def _unescaped(source: Inline) -> bytes:
    """Percent-encoding is undone in one go, so it may not be long: the pictures of real clients are in base64."""
    if len(source.text) - source.start > ESCAPED:
        raise invalid(source.param, "percent-encoded data of more than 1 MiB is not decoded; send base64")
    text = source.text[source.start :]
    if not text.isascii() or _BAD_ESCAPE.search(text):
        raise invalid(source.param, "it is not validly percent-encoded")
    return unquote_to_bytes(text)


def _base64(source: Inline) -> Iterator[bytes]:
    """Piece by piece, each as far as it is whole groups of four characters."""
    rest = b""
    ended = False
    for start in range(source.start, len(source.text), PIECE):
        piece = rest + _without_blanks(source, source.text[start : start + PIECE])
        if ended and piece:
            raise invalid(source.param, "it is not valid base64: it goes on after its padding")
        whole = len(piece) & ~3
        rest = piece[whole:]
        if whole:
            data = _groups(source, piece[:whole])
            ended = len(data) < whole // 4 * 3
            yield data
    if rest:
        if ended:
            raise invalid(source.param, "it is not valid base64: it goes on after its padding")
        yield _groups(source, rest + b"=" * (-len(rest) % 4))


def _without_blanks(source: Inline, text: str) -> bytes:
    try:
        piece = text.encode("ascii")
    except UnicodeEncodeError:
        raise invalid(source.param, "it is not valid base64: there are other characters than ASCII in it") from None
    return piece if _BLANK_SET.isdisjoint(piece) else piece.translate(None, _BLANKS)


def _groups(source: Inline, text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise invalid(source.param, "it is not valid base64") from None
