"""The file of one block: what it holds, and how it is read without believing anything that it says. No MLX.

8 bytes   MAGIC, which names the version of the format
32 bytes  BLAKE2b of all that follows, without the tensors
4 bytes   length of the header, little-endian
header    `Header` in MessagePack
sums      16 bytes of each tensor, as `checksum` says
tokens    four bytes each
tensors   one after another, row-major, as they are in memory (bfloat16 stays bfloat16), or packed (`eight_bits`)

The sums tell damage, at many times the pace of BLAKE2b; they keep nobody out who can write into the folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..chain import end_name
from ..state_graph import StateGraph
from .checksum import SUM, checksum
from .eight_bits import pack, packed_bytes, unpack
from .tensor import WIDTHS, Tensor

MAGIC = b"MLXSPB\x00\x03"
_DIGEST = 32
_LENGTH = 4
_START = len(MAGIC) + _DIGEST + _LENGTH
_TOKEN = 4
_HEAD = 1 << 16  # bytes that are read at once, in the hope that all before the tensors is in them
_LARGEST_HEAD = 16 << 20
_MOST_ROWS = 512  # in one call, of 1,024 that systems allow
_MOST_BYTES = 256 << 20  # in one call, of 2 GiB that macOS refuses

Buffer: TypeAlias = bytes | memoryview
Bytes: TypeAlias = NDArray[np.uint8]


class DamagedBlock(ValueError):
    """A file is not, or not wholly, the block that was looked for."""


class States(msgspec.Struct, frozen=True, array_like=True, tag="states"):
    """A recurrent layer; `present` says which of its states there are: a tensor each."""

    present: tuple[bool, ...]


class Window(msgspec.Struct, frozen=True, array_like=True, tag="window"):
    """The last columns of a layer whose window is `size` tokens, after `offset` of them: keys and values."""

    size: int
    offset: int


class Header(msgspec.Struct, frozen=True, array_like=True):
    """`key`: the model and its numerics. `parts`: which layers have columns, keys and values each. Their tensors come
    first, then those of the snapshots; a layer that is kept in the other way is false, or null. Where no layer's caches
    can be cut there are no parts, and one snapshot of all layers. `groups`, in a file alone: how many tokens of each
    column's tensor were packed together, 0 where it is as it was."""

    key: str
    name: bytes
    parent: bytes
    tokens: int
    parts: tuple[bool, ...]
    snapshots: tuple[States | Window | StateGraph | None, ...] | None
    tensors: tuple[Tensor, ...]
    groups: tuple[int, ...] = ()

    @property
    def columns(self) -> int:
        """Tensors that are columns of tokens."""
        return 2 * sum(self.parts)

    @property
    def expected(self) -> int:
        """Tensors that parts and snapshots need."""
        return self.columns + sum(map(_tensors, self.snapshots or ()))

    @property
    def whole(self) -> StateGraph | None:
        """What all layers hold, where their caches cannot be cut."""
        one = self.snapshots[0] if self.snapshots else None
        return one if isinstance(one, StateGraph) else None

    def group(self, place: int) -> int:
        return self.groups[place] if place < len(self.groups) else 0

    def stored(self, place: int) -> int:
        """Bytes of that tensor in the file."""
        tensor, group = self.tensors[place], self.group(place)
        return packed_bytes(tensor, group) if group else tensor.nbytes


_headers = msgspec.msgpack.Decoder(Header)


def _tensors(one: States | Window | StateGraph | None) -> int:
    """How many a snapshot has."""
    if one is None or isinstance(one, Window):
        return 0 if one is None else 2
    return sum(one.present) if isinstance(one, States) else len(one.leaves)


@dataclass(frozen=True)
class BlockFile:
    """`tensors`: the bytes of each of the header's; where the first ones were read into a Room, of the others."""

    header: Header
    tokens: Buffer
    tensors: tuple[Buffer, ...]

    @property
    def nbytes(self) -> int:
        """Of the file, without its header, where nothing is packed."""
        return _START + len(self.tokens) + sum(len(one) for one in self.tensors)


@dataclass(frozen=True)
class Room:
    """Memory for a block's columns, or for all tensors of a state of all layers: of columns one row of bytes for each
    head, which need not be neighbours. `fits` says whether a block of such tokens, tensors and snapshots is one of this
    network."""

    rows: tuple[Bytes, ...]
    fits: Callable[[Header], bool]


def encode(file: BlockFile, *, packed: bool = False) -> list[Buffer]:
    """The file's content, in pieces. `packed`: with the columns in 8 bits, as far as they are finite numbers."""
    header, tensors = file.header, list(file.tensors)
    if packed:
        groups = []
        for place in range(header.columns):
            group, content = pack(header.tensors[place], tensors[place])
            groups.append(group)
            tensors[place] = content
        header = msgspec.structs.replace(header, groups=tuple(groups))
    told = msgspec.msgpack.encode(header)
    sums = b"".join(checksum(_row(one)) for one in tensors)
    head: list[Buffer] = [len(told).to_bytes(_LENGTH, "little"), told, sums, file.tokens]
    return [MAGIC, _digest(head), *head, *tensors]


def read(descriptor: int, size: int, key: str, name: bytes, room: Room | None = None) -> BlockFile:
    """The block of this name that a model of this key left, from a file of so many bytes; what the room has memory for
    goes there.

    Raises DamagedBlock for anything else; then what is in the room means nothing. Raises OSError.
    """
    header, sums, tokens, start = _head(descriptor, size, key, name)
    found = msgspec.structs.replace(header, groups=())
    if room is not None and not room.fits(found):
        raise DamagedBlock("it is of another network")
    os.lseek(descriptor, start, os.SEEK_SET)
    tensors: list[Buffer] = []
    for place, tensor in enumerate(header.tensors):
        inside = room is not None and place < len(room.rows)
        target = room.rows[place] if room is not None and inside else np.empty((1, tensor.nbytes), np.uint8)
        group = header.group(place)
        stored = np.empty((1, header.stored(place)), np.uint8) if group else target
        _fill(descriptor, stored)
        if sums[place * SUM : (place + 1) * SUM] != checksum(stored):
            raise DamagedBlock("a tensor's checksum is wrong")
        if group:
            unpack(tensor, group, stored[0], target)
        if not inside:
            tensors.append(memoryview(target[0]))
    return BlockFile(found, tokens, tuple(tensors))


def read_header(descriptor: int, size: int, key: str, name: bytes) -> Header:
    """As `read`, without a look at the tensors."""
    return _head(descriptor, size, key, name)[0]


def _head(descriptor: int, size: int, key: str, name: bytes) -> tuple[Header, bytes, bytes, int]:
    """Header, sums, tokens, and where the tensors begin."""
    data = os.pread(descriptor, _HEAD, 0)
    if len(data) < _START or data[: len(MAGIC)] != MAGIC:
        raise DamagedBlock("it is no block of this version")
    end = _START + int.from_bytes(data[_START - _LENGTH : _START], "little")
    if end > _LARGEST_HEAD:
        raise DamagedBlock("its header is too long")
    data = _longer(descriptor, data, min(end, size))
    try:
        header = _headers.decode(memoryview(data)[_START:end])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedBlock("its header cannot be read") from error
    if header.key != key or header.name != name:
        raise DamagedBlock("it is another block")
    sound = all(one.dtype in WIDTHS and min(one.shape, default=1) > 0 for one in header.tensors)
    if not sound or header.tokens <= 0 or header.expected != len(header.tensors) or not _packs(header):
        raise DamagedBlock("its header contradicts itself")
    start = end + SUM * len(header.tensors) + header.tokens * _TOKEN
    if start + sum(map(header.stored, range(len(header.tensors)))) != size:
        raise DamagedBlock("its length is wrong")
    data = _longer(descriptor, data, start)[:start]
    if data[len(MAGIC) : len(MAGIC) + _DIGEST] != _digest([memoryview(data)[_START - _LENGTH :]]):
        raise DamagedBlock("its checksum is wrong")
    sums, tokens = data[end : start - header.tokens * _TOKEN], data[start - header.tokens * _TOKEN :]
    if end_name(header.parent, tokens) != name:
        raise DamagedBlock("its tokens have another name")
    return header, sums, tokens, start


def _packs(header: Header) -> bool:
    """Whether what it says of packed tensors is possible."""
    if len(header.groups) not in (0, header.columns):
        return False
    pairs = zip(header.groups, header.tensors, strict=False)
    return all(group == 0 or (group > 0 and len(one.shape) > 1) for group, one in pairs)


def _longer(descriptor: int, data: bytes, length: int) -> bytes:
    """These first bytes of a file, and more of them up to so many."""
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), len(data))
        if not more:
            raise DamagedBlock("its length is wrong")
        data += more
    return data


def _fill(descriptor: int, target: Bytes) -> None:
    """Read its rows, one after the other."""
    rows = [memoryview(row)[at : at + _MOST_BYTES] for row in target for at in range(0, len(row), _MOST_BYTES)]
    while rows:
        sums = accumulate(map(len, rows[:_MOST_ROWS]))
        count = os.readv(descriptor, rows[: max(1, sum(one <= _MOST_BYTES for one in sums))])
        if not count:
            raise DamagedBlock("its length is wrong")
        while rows and count >= len(rows[0]):
            count -= len(rows.pop(0))
        if count:
            rows[0] = rows[0][count:]


def _row(data: Buffer) -> Bytes:
    return np.frombuffer(data, np.uint8)[None]


def _digest(pieces: Sequence[Buffer]) -> bytes:
    digest = blake2b(digest_size=_DIGEST)
    for piece in pieces:
        digest.update(piece)
    return digest.digest()
