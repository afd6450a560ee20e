"""Where a loaded library keeps the address of a function that it calls from another one.

A shared library of ELF, which those of Linux are, calls such a function by way of a pointer of its own, its jump slot
(System V ABI, "Procedure Linkage Table"; what names it is a relocation of type R_X86_64_JUMP_SLOT or
R_AARCH64_JUMP_SLOT). Whoever exchanges the pointer exchanges the function for this library, and for no other.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

MAPS = Path("/proc/self/maps")
_JUMP_SLOTS = (7, 1026)  # of x86-64 and AArch64
_MAGIC = b"\x7fELF\x02\x01"  # of 64 bits, little-endian
_LOADED, _DYNAMIC = 1, 2
_STRINGS, _SYMBOLS, _SIZE, _SLOTS = 5, 6, 2, 23  # DT_STRTAB, DT_SYMTAB, DT_PLTRELSZ, DT_JMPREL


@dataclass(frozen=True)
class Mapping:
    """A part of this process's memory."""

    begin: int
    end: int
    writable: bool
    offset: int
    path: str


class JumpSlot:
    """The pointer by which one library calls one function."""

    def __init__(self, address: int) -> None:
        self._pointer = ctypes.c_uint64.from_address(address)

    @property
    def target(self) -> int:
        """The address of the function."""
        return self._pointer.value

    @target.setter
    def target(self, address: int) -> None:
        """From the next call on. Nobody may be in such a call for the first time, which sets the pointer."""
        self._pointer.value = address


def find(library: str, symbol: str) -> JumpSlot | None:
    """How a library of this file name calls this function; None where it is not loaded, calls no such function or not
    by way of a slot, or where the slot is closed, has not been used yet or holds anything but what the system's loader
    knows by this name. Raises OSError."""
    parts = mappings()
    first = next((part for part in parts if Path(part.path).name == library and part.offset == 0), None)
    if first is None:
        return None
    with open(first.path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            place = slot_of(content, symbol)
        except (struct.error, StopIteration):  # it says of itself what it is not
            return None
    if place is None:
        return None
    address = first.begin + place
    if not any(part.begin <= address < part.end and part.writable for part in parts):
        return None
    slot = JumpSlot(address)
    return slot if slot.target in addresses(symbol, first.path) else None


def addresses(symbol: str, library: str) -> set[int]:
    """Of the function of this name that all of the process see, and of the one that this library and those that it
    needs have."""
    found = set()
    for path in (None, library):
        try:
            function = ctypes.cast(getattr(ctypes.CDLL(path), symbol), ctypes.c_void_p).value
        except (AttributeError, OSError):
            continue
        found |= set() if function is None else {function}
    return found


def mappings() -> list[Mapping]:
    """Of this process, in their order. Raises OSError."""
    found = []
    for line in MAPS.read_text().splitlines():
        fields = line.split(maxsplit=5)
        begin, end = (int(one, 16) for one in fields[0].split("-"))
        path = fields[5] if len(fields) > 5 else ""
        found.append(Mapping(begin, end, "w" in fields[1], int(fields[2], 16), path))
    return found


def slot_of(content: mmap.mmap | bytes, symbol: str) -> int | None:
    """Where a library has the slot of a function, counted from where it is loaded; None where it has none."""
    if content[:6] != _MAGIC:
        return None
    (headers,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    loaded: list[tuple[int, int, int]] = []
    dynamic: tuple[int, int] | None = None
    for number in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", content, headers + number * size)
        if kind == _LOADED:
            loaded.append((address, offset, length))
        elif kind == _DYNAMIC:
            dynamic = (offset, length)
    if dynamic is None:
        return None

    def in_file(address: int) -> int:
        return next(address - begin + offset for begin, offset, length in loaded if begin <= address < begin + length)

    places = dict(struct.iter_unpack("<QQ", content[dynamic[0] : sum(dynamic)]))
    if not {_STRINGS, _SYMBOLS, _SIZE, _SLOTS} <= places.keys():
        return None
    strings, symbols, slots = (in_file(places[one]) for one in (_STRINGS, _SYMBOLS, _SLOTS))
    wanted = symbol.encode() + b"\0"
    for slot, info, _ in struct.iter_unpack("<QQq", content[slots : slots + places[_SIZE]]):
        (name,) = struct.unpack_from("<I", content, symbols + 24 * (info >> 32))
        if info & 0xFFFFFFFF in _JUMP_SLOTS and content[strings + name : strings + name + len(wanted)] == wanted:
            return int(slot)
    return None
