"""Looks for blocks on disk and reads them, in threads of its own that never touch MLX."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

from ....cpu.cores import usable
from ...chain import BLOCK, end_name, packed
from ..block_file import BlockFile, Room
from ..disk_store import DiskStore
from ..tensor import Tensor
from ..turn_store import TurnStore

_T = TypeVar("_T")
_THREADS = max(4, min(8, usable() // 2))
_BACK = 16  # blocks before the last one where the end that a sequence can go on from is looked for


@dataclass(frozen=True)
class Wanted:
    """Of a prompt, what is not in memory: the names of its whole blocks, and its tokens from where they begin on, after
    `start` others. `parent`: what the first one follows. `needs_ends` as PrefixCache's `needs_snapshots`."""

    names: tuple[bytes, ...]
    tokens: tuple[int, ...]
    parent: bytes
    needs_ends: bool
    start: int = 0

    def name(self, count: int) -> bytes:
        """Of the block that ends with so many of the tokens."""
        whole = (count - 1) // BLOCK
        if count % BLOCK == 0:
            return self.names[whole]
        return end_name(self.names[whole - 1] if whole else self.parent, packed(self.tokens[whole * BLOCK : count]))


@dataclass(frozen=True)
class Found:
    """A file: its block's name, and how many tokens it adds; `tensors`: of a state of all layers."""

    name: bytes
    tokens: int
    tensors: tuple[Tensor, ...] = ()


class BlockReader:
    def __init__(self, store: DiskStore) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="prefix-reader")
        self._finished = Event()

    def find(self, wanted: Wanted) -> Future[tuple[Found, ...]]:
        """The files of the longest beginning from which a sequence can go on, in their order."""
        store = self._store
        return self._begin(lambda: find_turn(store, wanted) if isinstance(store, TurnStore) else find(store, wanted))

    def read(self, name: bytes, room: Room) -> Future[BlockFile | None]:
        """None as DiskStore says. Nobody else may look at the room until it has ended."""
        return self._begin(lambda: self._store.read(name, room))

    def wait(self, seconds: float) -> None:
        """Until something has been found or read since the last call, or for so long."""
        self._finished.wait(seconds)
        self._finished.clear()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, work: Callable[[], _T]) -> Future[_T]:
        future = self._threads.submit(work)
        future.add_done_callback(lambda _: self._finished.set())
        return future


def find(store: DiskStore, wanted: Wanted) -> tuple[Found, ...]:
    """As `BlockReader.find`, here and now."""
    if not store.folder.is_dir():
        return ()
    ends: list[bool] = []
    for name in wanted.names:
        end = wanted.needs_ends and store.has(name, end=True)
        if not (end or store.has(name)):
            break
        ends.append(end)
    depth = len(ends)
    least = max(0, depth - _BACK) if wanted.needs_ends else depth
    for number in range(depth, least - 1, -1):
        whole = [Found(name, BLOCK) for name in wanted.names[:number]]
        last = _end(store, wanted, number)
        if last is not None:
            return (*whole, last)
        if not wanted.needs_ends or (number and ends[number - 1]):
            return tuple(whole)
    return ()


def find_turn(store: TurnStore, wanted: Wanted) -> tuple[Found, ...]:
    """The longest state that saves a block of tokens or more: less is sooner computed than read."""
    for length, name in store.turns():
        more = length - wanted.start
        if BLOCK <= more <= len(wanted.tokens) and wanted.name(more) == name:
            header = store.header(length, name)
            if header is not None:
                return (Found(name, more, header.tensors),)
    return ()


def _end(store: DiskStore, wanted: Wanted, number: int) -> Found | None:
    """The longest block of less than BLOCK tokens that the prompt goes on with after so many whole ones."""
    parent = wanted.names[number - 1] if number else wanted.parent
    tokens = wanted.tokens[number * BLOCK : (number + 1) * BLOCK]
    content = packed(tokens)
    for count in range(min(len(tokens), BLOCK - 1), 0, -1):
        name = end_name(parent, content[: count * len(content) // len(tokens)])
        if store.has(name, end=wanted.needs_ends):
            return Found(name, count)
    return None
