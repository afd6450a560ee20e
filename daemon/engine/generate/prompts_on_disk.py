"""What memory keeps of prompts goes to files behind the steps, and comes back from them when it is asked for again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx

from ..prefix.block import Block
from ..prefix.chain import Chain
from ..prefix.disk.block_writer import BlockWriter
from ..prefix.disk.cache_layout import Layout
from ..prefix.disk.disk_store import DiskStore
from ..prefix.disk.eight_bits import BITS
from ..prefix.disk.reading.block_reader import BlockReader
from ..prefix.disk.reading.read_back import ReadBack
from ..prefix.disk.write_behind import LEAST_TOKENS, WriteBehind
from ..prefix.prefix_cache import PrefixCache
from .choices import Choices
from .dispatch import Dispatch
from .rereading import LEAST_GAIN

LOOK_SECONDS = 0.02
"""A GPU that computes what is missing of a prompt in so long has it sooner than anybody has looked for it and copied it
there: on an H200 the look alone took 5 ms, for 500 tokens after 24,000 that memory has."""


@dataclass(frozen=True)
class Disk:
    """Where blocks are kept beyond memory. `report` gets a sentence when no more is written; copies for the disk are
    made on `stream`, None: on the one where everything is computed; `staged` as in WriteBehind, `in_place` as in
    ReadBack."""

    store: DiskStore
    layout: Layout
    report: Callable[[str], None]
    stream: mx.Stream | None = None
    in_place: bool = True
    staged: bool = False


class PromptsOnDisk:
    """The files of one model. Copies for them, and what has come from them, are begun by `dispatch`. `rate`: how many
    tokens of a prompt this device computes in a second."""

    def __init__(self, disk: Disk, kept: PrefixCache, dispatch: Dispatch, rate: Callable[[], float]) -> None:
        self._dispatch = dispatch
        self._rate = rate
        self._store = disk.store
        self._behind = WriteBehind(
            *(kept, BlockWriter(disk.store, disk.report), disk.store.key, disk.layout, disk.stream),
            staged=disk.staged,
            ahead=dispatch.ahead,
        )
        self._back = ReadBack(
            *(kept, BlockReader(disk.store), disk.layout), in_place=disk.in_place, rate=rate, ahead=dispatch.ahead
        )

    @property
    def nbytes(self) -> int:
        """Of the files."""
        return self._store.nbytes

    @property
    def bits(self) -> int | None:
        """In which keys and values are packed there; None: they are as they are."""
        return BITS if self._store.packed else None

    @property
    def tokens(self) -> int:
        """That were read back."""
        return self._back.tokens

    @property
    def copied(self) -> int:
        """Bytes of memory that hold what is to be written, or will."""
        return self._behind.nbytes + self._behind.staging_bytes

    def limit(self, most: int) -> int:
        """What comes may take so many bytes, with what is kept; gives how many it takes."""
        self._back.limit(most)
        return self._back.nbytes

    # from them

    def comes(self, request: Choices, find: Callable[[Choices], None]) -> bool:
        """Whether blocks of this request, or what it may begin with, are being read. `find` is called when they have
        been."""
        back = self._back
        if back.reading and back.in_place:
            self._dispatch.settle()
        going = back.goes_on(request.id)
        if going is None:
            length = request.length - 1
            few = LEAST_GAIN if back.in_place else max(LEAST_GAIN, int(self._rate() * LOOK_SECONDS))
            if request.searched or length <= LEAST_TOKENS or length - request.start < few or back.stuck:
                return False
            request.searched = True
            if not back.begin(request.id, request.chain, length, request.start):
                return False
            if back.in_place:
                self._dispatch.settle()
            going = back.goes_on(request.id)
        if not going:
            find(request)
        return bool(going)

    def gave_up(self, number: int) -> bool:
        """As ReadBack has it."""
        return self._back.gave_up(number)

    def forget(self, number: int) -> None:
        """Nobody waits any more for what is read for this request."""
        self._back.forget(number)

    # to them

    def touch(self, blocks: Sequence[Block]) -> None:
        """These, from the beginning of a text on, are used."""
        self._behind.touch(blocks)

    def note(self, block: Block, chain: Chain, stop: int) -> None:
        """This one, which ends with token `stop` of a text, and those that it follows, are to be written."""
        self._behind.note(block, chain, stop)

    def drop(self) -> None:
        """What memory does not keep any more is not written either."""
        self._behind.drop()

    @property
    def unwritten(self) -> bool:
        """Whether `write` has something to do, or memory for what comes is to be let go."""
        return self._behind.waiting or self._back.leaving

    def write(self, *, decoding: bool, room: int | None, rest: bool) -> None:
        """As Reuse has it."""
        self._back.after_step(decoding=decoding)
        self._behind.hand_over(computing=not rest, room=room, rest=rest)

    def wait(self, seconds: float) -> None:
        """Until the disk has come on, or for so long; at once where nothing waits for it."""
        if self._back.reading or self._back.leaving:
            self._back.wait(seconds)
        elif self._behind.blocked:
            self._behind.wait(seconds)

    def close(self, seconds: float) -> None:
        """Write what is left, within so many seconds."""
        self._behind.finish(seconds)
        self._back.close()
