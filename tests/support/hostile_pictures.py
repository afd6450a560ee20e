"""Files that are no picture, or must not be decoded: the bytes, and what the refusal says of each."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from support.drawn import noise
from support.pictures import encoded

NOISE = noise(40, 56)


def bomb(side: int) -> bytes:
    """A PNG whose header promises so many pixels a side; Pillow would take gigabytes for it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (side + 1) * 200)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("picture.png", encoded(NOISE))
    return made.getvalue()


REFUSED = {
    "nothing": (b"", "is empty"),
    "truncated PNG": (encoded(NOISE)[: len(encoded(NOISE)) // 2], "damaged or cut off"),
    "truncated JPEG": (encoded(NOISE, "JPEG")[:-200], "damaged or cut off"),
    "the header alone": (encoded(NOISE)[:20], "damaged|cannot be read"),
    "a bomb": (bomb(30_000), r"30000 × 30000 pixels, more than the 64 megapixels"),
    "SVG": (b'<?xml version="1.0"?>\n<!-- x --><svg xmlns="http://www.w3.org/2000/svg"/>', "is an SVG drawing"),
    "bare SVG": (b"  <svg></svg>", "is an SVG drawing"),
    "a zip": (archive(), "it is not PNG, JPEG"),
    "text": (b"hello", "it is not PNG, JPEG"),
    "a PDF": (b"%PDF-1.4 ...", "it is not PNG, JPEG"),
    "EPS, which would run Ghostscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "it is not PNG"),
}
