"""The file of one block: what it holds, and how it is read without believing anything that it says. No MLX.

8 bytes   MAGIC, which names the version of the format
32 bytes  BLAKE2b of all that follows
4 bytes   length of the header, little-endian
header    `Header` in MessagePack
tokens    four bytes each
tensors   one after another, row-major, as they are in memory (bfloat16 stays bfloat16)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import prod
from typing import TypeAlias

import msgspec

MAGIC = b"MLXSPB\x00\x01"
_DIGEST = 32
_LENGTH = 4
_START = len(MAGIC) + _DIGEST + _LENGTH
_NAME = 16  # bytes of a block's name
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


def name_of(parent: bytes, tokens: Buffer) -> bytes:
    """As Chain names a block."""
    digest = blake2b(parent, digest_size=_NAME)
    digest.update(tokens)
    return digest.digest()


def encode(file: BlockFile) -> list[Buffer]:
    """The file's content, in pieces."""
    header = msgspec.msgpack.encode(file.header)
    body: list[Buffer] = [len(header).to_bytes(_LENGTH, "little"), header, file.tokens, *file.tensors]
    return [MAGIC, _checksum(body), *body]


def decode(data: bytes, key: str, name: bytes) -> BlockFile:
    """The block of this name that a model of this key left; its buffers share the memory of `data`.

    Raises DamagedBlock for anything else.
    """
    view = memoryview(data)
    if len(data) < _START or data[: len(MAGIC)] != MAGIC:
        raise DamagedBlock("it is no block of this version")
    if data[len(MAGIC) : len(MAGIC) + _DIGEST] != _checksum([view[len(MAGIC) + _DIGEST :]]):
        raise DamagedBlock("its checksum is wrong")
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
    sizes = [header.tokens * _TOKEN, *(one.nbytes for one in header.tensors)]
    if end + sum(sizes) != len(data):
        raise DamagedBlock("its length is wrong")
    pieces = []
    for size in sizes:
        pieces.append(view[end : end + size])
        end += size
    if name_of(header.parent, pieces[0]) != name:
        raise DamagedBlock("its tokens have another name")
    return BlockFile(header, pieces[0], tuple(pieces[1:]))


def _checksum(pieces: Sequence[Buffer]) -> bytes:
    digest = blake2b(digest_size=_DIGEST)
    for piece in pieces:
        digest.update(piece)
    return digest.digest()
