"""The names of the functions in a Metal library (`mlx.metallib`), read from the file without Metal.

Apple describes the format nowhere; this is how MLX's own files are made: `MTLB`, at byte 24 the offset and the size of
the list of functions; the list is a count and so many entries, each a size and tags of four letters with a 16-bit
length, of which `NAME` is the function's name. Of mlx-metal 0.32.4, the library for macOS 15 has 17,251 functions
and none for an M5's accelerators, that for macOS 26 has 18,817 and 1,510.
"""

from __future__ import annotations

import struct
from pathlib import Path

_MAGIC = b"MTLB"
_LIST_AT = 24
_MOST = 1 << 28
_TENSOR_UNITS = "nax"


class UnreadableLibrary(Exception):
    """A file that is not a Metal library, or one of an unknown form."""


def functions(path: Path) -> list[str]:
    """The names of all functions. Raises UnreadableLibrary."""
    try:
        with path.open("rb") as file:
            head = file.read(_LIST_AT + 16)
            if not head.startswith(_MAGIC) or len(head) < _LIST_AT + 16:
                raise UnreadableLibrary(f"{path} is not a Metal library")
            start, size = struct.unpack_from("<QQ", head, _LIST_AT)
            if size > _MOST:
                raise UnreadableLibrary(f"{path} has a list of functions of {size} bytes")
            file.seek(start)
            data = file.read(size + 4)
    except OSError as error:
        raise UnreadableLibrary(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        return _names(data)
    except (struct.error, ValueError) as error:
        raise UnreadableLibrary(f"the functions of {path} cannot be listed: {error}") from None


def tensor_kernels(names: list[str]) -> int:
    """How many of MLX's kernels use the neural accelerators in the GPU of an M5 and newer: `nax` is in their names."""
    return sum(_TENSOR_UNITS in name.split("_") for name in names)


def _names(data: bytes) -> list[str]:
    (count,) = struct.unpack_from("<I", data)
    place, names = 4, []
    for _ in range(count):
        (size,) = struct.unpack_from("<I", data, place)
        if size < 8 or place + size > len(data):
            raise ValueError(f"an entry of {size} bytes at {place}")
        names.append(_name(data[place + 4 : place + size]))
        place += size
    return names


def _name(entry: bytes) -> str:
    place = 0
    while place + 4 <= len(entry) and (tag := entry[place : place + 4]) != b"ENDT":
        (length,) = struct.unpack_from("<H", entry, place + 4)
        if tag == b"NAME":
            return entry[place + 6 : place + 6 + length].rstrip(b"\0").decode("ascii")
        place += 6 + length
    raise ValueError("an entry without a name")
