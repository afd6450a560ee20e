"""States of all layers in files, where caches cannot be cut: each stands for itself, whatever else there is.

No MLX. A file's name says after how many tokens of a text it is, so that the longest that a prompt begins with is found
without a look into any.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ....prefix_folder import END
from .block_file import BlockFile, DamagedBlock, Header, Room, read, read_header
from .disk_store import DiskStore, stamp


class TurnStore(DiskStore):
    """As a store of blocks. How large a state may be only the budget says; none is packed."""

    def __init__(self, root: Path, key: str, budget: int | None) -> None:
        super().__init__(root, key, budget, sys.maxsize)

    def turns(self) -> list[tuple[int, bytes]]:
        """Tokens and names of all that is here, the longest first."""
        found = []
        with suppress(OSError):
            for path in self.folder.glob(f"*-*{END}"):
                name, _, tokens = path.stem.partition("-")
                with suppress(ValueError):
                    found.append((int(tokens), bytes.fromhex(name)))
        return sorted(found, reverse=True)

    def has(self, name: bytes, *, end: bool = True) -> bool:
        return end and any(one == name for _, one in self.turns())

    def header(self, tokens: int, name: bytes) -> Header | None:
        """Of one of the `turns`. None as `read` says."""

        def look(descriptor: int, size: int) -> Header:
            return _checked(read_header(descriptor, size, self.key, name), tokens)

        return self._look(self._file(name, tokens), look)

    def read(self, name: bytes, room: Room | None = None) -> BlockFile | None:
        for tokens in self._lengths(name):

            def look(descriptor: int, size: int, tokens: int = tokens) -> BlockFile:
                file = read(descriptor, size, self.key, name, room)
                _checked(file.header, tokens)
                return file

            file = self._look(self._file(name, tokens), look)
            if file is not None:
                return file
        return None

    def write(self, file: BlockFile, used: int | None = None) -> bool:
        graph = file.header.whole
        if graph is None or self.has(file.header.name):
            return False
        return self._publish(file, self._file(file.header.name, graph.tokens), used)

    def touch(self, names: Sequence[bytes]) -> list[tuple[bytes, int]]:
        now = time.time_ns()
        there = {name: tokens for tokens, name in self.turns()}
        return [(name, now) for name in names if name not in there or not stamp(self._file(name, there[name]), now)]

    def _lengths(self, name: bytes) -> list[int]:
        """After how many tokens it is, by what files are called."""
        return [tokens for tokens, one in self.turns() if one == name]

    def _file(self, name: bytes, tokens: int) -> Path:
        return self.folder / f"{name.hex()}-{tokens}{END}"


def _checked(header: Header, tokens: int) -> Header:
    if header.whole is None or header.whole.tokens != tokens:
        raise DamagedBlock("it is no state after so many tokens")
    return header
