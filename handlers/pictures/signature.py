"""What a file is by its first bytes: enough to say that it is no picture. Whether it is a good one, the engine says."""

from __future__ import annotations

import re

_LENGTH = 512
_USE = "send PNG, JPEG, WebP or GIF"

_NOT_PICTURES = (
    (b"%PDF-", "it is a PDF document"),
    (b"PK\x03\x04", "it is a ZIP archive, or a document made of one"),
    (b"\x1f\x8b", "it is compressed with gzip"),
    (b"\x1aE\xdf\xa3", "it is a video"),
    (b"ID3", "it is audio"),
    (b"OggS", "it is audio or video"),
    (b"fLaC", "it is audio"),
)
_RIFF = {b"AVI ": "it is a video", b"WAVE": "it is audio"}
_VIDEO_BRANDS = (b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"M4V ", b"M4A ", b"qt  ")
_NETPBM = re.compile(rb"P[1-7f]\s", re.IGNORECASE)
_SVG = re.compile(r"<svg[\s/>]", re.IGNORECASE)
_HTML = re.compile(r"\s*(?:<!--.*?-->\s*)?<(?:!doctype html|html|head|body)\b", re.IGNORECASE | re.DOTALL)


def problem(data: bytes) -> str | None:
    """Why this cannot be a picture, as the end of a sentence; None where it may be one."""
    head = data[:_LENGTH]
    if not head:
        return f"it is empty; {_USE}"
    found = next((what for beginning, what in _NOT_PICTURES if head.startswith(beginning)), None)
    if found is None and head.startswith(b"RIFF"):
        found = _RIFF.get(head[8:12])
    if found is not None:
        return f"{found}; {_USE}"
    if head[4:8] == b"ftyp" and head[8:12] in _VIDEO_BRANDS:
        return f"it is a video or audio; {_USE}"
    return _text_problem(head)


def _text_problem(head: bytes) -> str | None:
    if _NETPBM.match(head):
        return None  # a picture format whose files begin with text
    text = _as_text(head)
    if text is None:
        return None
    if _SVG.search(text):
        return f"it is an SVG drawing, which is not supported; {_USE}"
    if _HTML.match(text):
        return "it is a web page, not a picture"
    return f"it is text, not a picture; {_USE}"


def _as_text(head: bytes) -> str | None:
    """The bytes as text, None where they are none."""
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"\xef\xbb\xbf", "utf-8")):
        if head.startswith(mark):
            return head[len(mark) :].decode(encoding, "replace")
    if re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]", head):
        return None
    try:
        return head.decode()
    except UnicodeDecodeError as error:
        # The last character may have been cut.
        return head[: error.start].decode() if error.start > len(head) - 4 and error.start else None
