"""The file of one block: what it holds, and how it is read without believing anything that it says. No MLX.

8 bytes   MAGIC, which names the version of the format
32 bytes  BLAKE2b of all that follows, without the tensors
4 bytes   length of the header, little-endian
header    `Header` in MessagePack
sums      of each tensor: its CRC-32 and, modulo 2^64, the sum of its words of eight bytes, little-endian
tokens    four bytes each
tensors   one after another, row-major, as they are in memory (bfloat16 stays bfloat16)

The sums tell damage, at twice the pace of BLAKE2b; they keep nobody out who can write into the folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import prod
from typing import TypeAlias
from zlib import crc32

import msgspec
import numpy as np

from ..chain import end_name

MAGIC = b"MLXSPB\x00\x02"
_DIGEST = 32
_LENGTH = 4
_START = len(MAGIC) + _DIGEST + _LENGTH
_SUM = 12
_WORD = 8
_TOKEN = 4
_DTYPES = {
    1: ("uint8", "int8"),
    2: ("uint16", "int16", "float16", "bfloat16"),
    4: ("uint32", "int32", "float32"),
    8: ("uint64", "int64"),
}
WIDTHS = {dtype: width for width, dtypes in _DTYPES.items() for dtype in dtypes}

Buffer: TypeAlias = bytes | memoryview


class DamagedBlock(ValueError):
    """A file is not, or not wholly, the block that was looked for."""


class Tensor(msgspec.Struct, frozen=True, array_like=True):
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return WIDTHS[self.dtype] * prod(self.shape)


class States(msgspec.Struct, frozen=True, array_like=True, tag="states"):
    """A recurrent layer; `present` says which of its states there are: a tensor each."""

    present: tuple[bool, ...]


class Window(msgspec.Struct, frozen=True, array_like=True, tag="window"):
    """The last columns of a layer whose window is `size` tokens, after `offset` of them: keys and values."""

    size: int
    offset: int


class Header(msgspec.Struct, frozen=True, array_like=True):
    """`key`: the model and its numerics. `parts`: which layers have columns, keys and values each. Their tensors come
    first, then those of the snapshots; a layer that is kept in the other way is false, or null."""

    key: str
    name: bytes
    parent: bytes
    tokens: int
    parts: tuple[bool, ...]
    snapshots: tuple[States | Window | None, ...] | None
    tensors: tuple[Tensor, ...]

    @property
    def expected(self) -> int:
        """Tensors that parts and snapshots need."""
        of_snapshots = [
            sum(one.present) if isinstance(one, States) else 2 for one in self.snapshots or () if one is not None
        ]
        return 2 * sum(self.parts) + sum(of_snapshots)


@dataclass(frozen=True)
class BlockFile:
    """`tensors`: the bytes of each of the header's."""

    header: Header
    tokens: Buffer
    tensors: tuple[Buffer, ...]

    @property
    def nbytes(self) -> int:
        """Of the file, without its header."""
        return _START + len(self.tokens) + sum(len(one) for one in self.tensors)


def encode(file: BlockFile) -> list[Buffer]:
    """The file's content, in pieces."""
    header = msgspec.msgpack.encode(file.header)
    sums = b"".join(map(_sum, file.tensors))
    head: list[Buffer] = [len(header).to_bytes(_LENGTH, "little"), header, sums, file.tokens]
    return [MAGIC, _digest(head), *head, *file.tensors]


def decode(data: bytes, key: str, name: bytes) -> BlockFile:
    """The block of this name that a model of this key left; its buffers share the memory of `data`.

    Raises DamagedBlock for anything else.
    """
    view = memoryview(data)
    if len(data) < _START or data[: len(MAGIC)] != MAGIC:
        raise DamagedBlock("it is no block of this version")
    end = _START + int.from_bytes(view[_START - _LENGTH : _START], "little")
    try:
        header = msgspec.msgpack.decode(view[_START:end], type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedBlock("its header cannot be read") from error
    if header.key != key or header.name != name:
        raise DamagedBlock("it is another block")
    sound = all(one.dtype in WIDTHS and min(one.shape, default=1) > 0 for one in header.tensors)
    if not sound or header.tokens <= 0 or header.expected != len(header.tensors):
        raise DamagedBlock("its header contradicts itself")
    sizes = [_SUM * len(header.tensors), header.tokens * _TOKEN, *(one.nbytes for one in header.tensors)]
    if end + sum(sizes) != len(data):
        raise DamagedBlock("its length is wrong")
    pieces = []
    for size in sizes:
        pieces.append(view[end : end + size])
        end += size
    sums, tokens, *tensors = pieces
    if data[len(MAGIC) : len(MAGIC) + _DIGEST] != _digest([view[_START - _LENGTH : end - sum(sizes[2:])]]):
        raise DamagedBlock("its checksum is wrong")
    if any(sums[place * _SUM : (place + 1) * _SUM] != _sum(one) for place, one in enumerate(tensors)):
        raise DamagedBlock("a tensor's checksum is wrong")
    if end_name(header.parent, bytes(tokens)) != name:
        raise DamagedBlock("its tokens have another name")
    return BlockFile(header, tokens, tuple(tensors))


def _digest(pieces: Sequence[Buffer]) -> bytes:
    digest = blake2b(digest_size=_DIGEST)
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


def _sum(tensor: Buffer) -> bytes:
    words = len(tensor) // _WORD * _WORD
    total = int(np.frombuffer(tensor[:words], "<u8").sum(dtype=np.uint64))
    total += int.from_bytes(tensor[words:], "little")
    return crc32(tensor).to_bytes(4, "little") + (total % (1 << 64)).to_bytes(_WORD, "little")
