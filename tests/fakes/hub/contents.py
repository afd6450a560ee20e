"""What a file of the test hub holds: bytes or a file on disk, with the digests that the hub states."""

from __future__ import annotations

import hashlib
import os
import threading
from functools import cached_property
from pathlib import Path

_CHUNK = 4 << 20
_LARGE = 1 << 20
_LFS_ENDINGS = (".safetensors", ".bin", ".gguf", ".onnx", ".pt", ".h5", ".msgpack", ".model")


class Content:
    """`sha256`: for a large file whose digest is known already. A file on disk must not change."""

    def __init__(self, data: bytes | Path, sha256: str | None = None) -> None:
        self._data = data
        self._known = sha256
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self.size = len(data) if isinstance(data, bytes) else data.stat().st_size

    @cached_property
    def sha256(self) -> str:
        if self._known is not None:
            return self._known
        digest = hashlib.sha256()
        for start in range(0, self.size, _CHUNK):
            digest.update(self.read(start, min(start + _CHUNK, self.size)))
        return digest.hexdigest()

    @cached_property
    def git_id(self) -> str:
        """sha1 of git's blob object, which is what the hub states of small files."""
        return git_id(self.read(0, self.size))

    @cached_property
    def pointer(self) -> bytes:
        """What git itself holds of a large file."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    def read(self, start: int, stop: int) -> bytes | memoryview:
        if isinstance(self._data, bytes):
            return memoryview(self._data)[start:stop]
        return os.pread(self.descriptor or 0, stop - start, start)

    @property
    def descriptor(self) -> int | None:
        """The open file, None for bytes in memory."""
        if isinstance(self._data, bytes):
            return None
        with self._lock:
            if self._descriptor is None:
                self._descriptor = os.open(self._data, os.O_RDONLY | os.O_CLOEXEC)
            return self._descriptor

    def close(self) -> None:
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


def git_id(data: bytes | memoryview) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_large(path: str, content: Content) -> bool:
    """Whether a repository would keep the file in LFS, by the hub's usual .gitattributes."""
    return content.size >= _LARGE or path.endswith(_LFS_ENDINGS)
