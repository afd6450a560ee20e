"""What memory keeps of long prompts goes to the disk too: bytes made here, on MLX's thread, a little in each step.

A block's arrays are copied on the device first, and looked at some steps later, when the copies are there: so nobody
waits for them. Copies are MLX's memory until they are written; they are let go here, never by the writing thread.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from functools import partial

import mlx.core as mx

from ..ahead import Ahead, at_once
from ..block import Block
from ..chain import BLOCK, Chain
from ..prefix_cache import PrefixCache
from ..state_graph import Undescribed
from .block_bytes import contents, flat, staged, staging, view
from .block_file import BlockFile, Header
from .block_writer import BlockWriter
from .cache_layout import Layout
from .disk_store import APART

LEAST_TOKENS = 1024
SHARE = 0.01
_MOST_CREDIT = 0.002  # seconds
_LEAST_CREDIT = 0.001  # less is saved up
_A_COPY = 0.0003  # seconds that one takes which is put off, until that is known
_SMOOTHING = 0.2
_ALONE = 0.005  # seconds a step where nothing is computed
_LATER = 2  # steps
_STEP_BYTES = 16 << 20  # of large states that are copied during a step


class _Outgoing:
    """A block of which copies are being made."""

    def __init__(self, block: Block, told: Header, arrays: Sequence[mx.array], used: int) -> None:
        self.header = told
        self.tokens = block.tokens
        self.used = used
        self.nbytes = block.nbytes
        self.sources: deque[mx.array] = deque(arrays)
        self.sizes = [one.nbytes for one in arrays]
        self.copies: list[mx.array] = []
        self.views: list[memoryview] = []
        self.begun = 0  # of the copies
        self.due = 0  # the step from which on they are there


class WriteBehind:
    """Watches what `kept` is given. Blocks of texts of more than LEAST_TOKENS tokens are written, each after the one
    that it follows, or of whole turns the states alone; not those that are none of this layout, which nobody would
    read."""

    def __init__(
        self,
        kept: PrefixCache,
        writer: BlockWriter,
        key: str,
        layout: Layout,
        stream: mx.Stream | None = None,
        *,
        staged: bool = False,
        ahead: Ahead = at_once,
    ) -> None:
        """Copies are made on `stream`, None: on the default one; where they are `staged`, in memory that stays. `ahead`
        begins them."""
        self._kept = kept
        self._layout = layout
        self._writer = writer
        self._key = key
        self._stream = stream
        self._ahead = ahead
        self._staging: dict[int, list[mx.array]] | None = {} if staged else None
        self._pending: deque[tuple[bytes, int]] = deque()  # names, and when they were used
        self._outgoing: deque[_Outgoing] = deque()
        self._written: dict[int, tuple[BlockFile, list[mx.array]]] = {}
        self._room: int | None = None
        self._rest = self._computing = False
        self._steps = 0
        self._credit = self._put_off = 0.0
        self._each, self._handing = _A_COPY, False
        self._together: list[tuple[_Outgoing, mx.array]] = []  # copies of this step that are begun as one
        self._credited = time.monotonic()
        kept.watch = self._note

    @property
    def waiting(self) -> bool:
        """Whether there is something for `hand_over` to do, now or when the disk has written more."""
        return self._writer.open and bool(self._pending or self._outgoing)

    @property
    def nbytes(self) -> int:
        """Of copies, in MLX's memory."""
        return self._writer.nbytes + sum(one.nbytes for one in self._outgoing)

    @property
    def staging_bytes(self) -> int:
        """Of memory that waits for copies."""
        return sum(one.nbytes for places in (self._staging or {}).values() for one in places)

    # what comes

    def _note(self, block: Block, chain: Chain, stop: int) -> None:
        if stop % BLOCK == 0 or block.snapshots is not None:
            self.note(block, chain, stop)

    def note(self, block: Block, chain: Chain, stop: int) -> None:
        """This one, and those that it follows, are to be written."""
        if stop <= LEAST_TOKENS or block.stored or not self._writer.open:
            return
        if self._kept.whole_turns:
            if block.snapshots is not None:  # the longer one of a text outlives the shorter one
                block.stored = True
                self._pending.append((block.name, chain.begun + stop))
            return
        number = (stop - 1) // BLOCK
        names = [*chain.names(number * BLOCK), block.name]
        first = number
        block.stored = True
        while first and (before := self._kept.block(names[first - 1])) is not None and not before.stored:
            before.stored = True
            first -= 1
        self._pending.extend((names[place], chain.begun - place * APART) for place in range(first, number + 1))

    def touch(self, blocks: Sequence[Block]) -> None:
        """These, from the beginning of a text on, are used."""
        if sum(map(len, blocks)) > LEAST_TOKENS:
            self._writer.touch([block.name for block in blocks if block.stored])

    def drop(self) -> None:
        """What memory does not keep any more is not written either."""
        self._pending.clear()
        self._outgoing.clear()
        if self._staging:
            self._staging.clear()

    # what goes

    def hand_over(self, *, computing: bool, room: int | None = None, rest: bool = False) -> None:
        """After each step: SHARE of the time where somebody waits for the next one (`computing`), else more. Copies
        take `room` bytes at most, None: as many as wait for the disk; where nothing else is computed (`rest`) what does
        not fit into that will not be written."""
        self._room, self._rest, self._computing = room, rest, computing
        self._steps += 1
        self._let_go()
        now = time.monotonic()
        self._credit = min(_MOST_CREDIT, self._credit + SHARE * (now - self._credited))
        self._credited = now
        if not self.waiting or (computing and self._credit < _LEAST_CREDIT):
            return
        most = self._credit if computing else _ALONE
        self._put_off, self._handing = 0.0, True
        began = time.perf_counter()
        try:
            while time.perf_counter() - began + self._put_off < most and self._advance():
                pass
        except (RuntimeError, MemoryError):  # no memory for the copies
            self.drop()
        if together := self._together:
            self._together = []
            self._ahead([copy for _, copy in together], partial(self._begun, [one for one, _ in together]))
        self._handing = False
        if computing:
            self._credit -= time.perf_counter() - began

    def finish(self, seconds: float) -> None:
        """Nothing runs any more: hand all of it over, and wait until it is written, for so long."""
        until = time.monotonic() + seconds
        for one in self._outgoing:
            one.begun = len(one.copies)  # looking at them begins what nobody has
        while self.waiting and (left := until - time.monotonic()) > 0:
            self.hand_over(computing=False, rest=True)
            if self.blocked:
                self._writer.wait(left)
        self._writer.close(max(0.0, until - time.monotonic()))
        self._let_go()

    @property
    def blocked(self) -> bool:
        """Whether it is the disk that `hand_over` waits for."""
        return self.waiting and not self._outgoing and self._writer.nbytes > 0

    def wait(self, seconds: float) -> None:
        """Until the disk has written more, or for so long."""
        self._writer.wait(seconds)

    def _advance(self) -> bool:
        """One array of the oldest block that is ready, or of the next one; whether there was one."""
        for one in self._outgoing:
            if one.sources:
                copy = self._copy(one.sources.popleft())
                one.copies.append(copy)
                one.due = self._steps + _LATER + (one.nbytes // _STEP_BYTES if self._computing else 0)
                if self._put_off:
                    self._together.append((one, copy))
                if self._put_off or self._ahead([copy], partial(self._begun, [one])):
                    self._put_off += self._each
                return True
        oldest = self._outgoing[0] if self._outgoing else None
        if oldest is not None and oldest.due <= self._steps and oldest.begun == len(oldest.copies):
            if (place := len(oldest.views)) < len(oldest.copies):
                oldest.views.append(view(oldest.copies[place])[: oldest.sizes[place]])
                return True
            self._outgoing.popleft()
            file = BlockFile(oldest.header, oldest.tokens, tuple(oldest.views))
            if self._writer.offer(file, oldest.used):
                self._written[id(file)] = (file, oldest.copies)
            return True
        return self._begin_next()

    def _begun(self, blocks: list[_Outgoing], began: float, seconds: float, error: Exception | None) -> None:
        """A copy for each of these blocks is dispatched, or there is no memory for them."""
        for one in blocks:
            one.begun += 1
        if not self._handing:
            self._each += _SMOOTHING * (seconds / len(blocks) - self._each)
            self._credit -= seconds
        if error is not None:
            self.drop()

    def _copy(self, array: mx.array) -> mx.array:
        if self._staging is None:
            return flat(array, self._stream)
        place = staging(array.nbytes)
        if places := self._places(place.nbytes):
            place = places.pop()
        return staged(array, place)

    def _places(self, nbytes: int) -> list[mx.array]:
        assert self._staging is not None
        return self._staging.setdefault(nbytes, [])

    def _begin_next(self) -> bool:
        while self._pending:
            name, used = self._pending[0]
            block = self._kept.block(name)
            if block is not None:
                if not self._writer.has_room(block.nbytes, beside=sum(one.nbytes for one in self._outgoing)):
                    return False
                fits = self._room is None or self.nbytes + block.nbytes <= self._room
                if not fits and (self.nbytes or not self._rest):
                    return False
                fits = fits and self._begin(block, used)
            self._pending.popleft()
            if block is not None and fits:
                return True
        return False

    def _begin(self, block: Block, used: int) -> bool:
        """False where it is not one that a file is for."""
        try:
            told, arrays = contents(block, self._key)
        except Undescribed:
            return False
        if not self._layout.fits(told):
            return False
        self._outgoing.append(_Outgoing(block, told, arrays, used))
        return True

    def _let_go(self) -> None:
        while self._writer.done:
            _, copies = self._written.pop(id(self._writer.done.popleft()))  # the views go, and then what they show
            for copy in copies if self._staging is not None else ():
                self._places(copy.nbytes).append(copy)
        while self._writer.missing:
            name, used = self._writer.missing.popleft()
            if self._kept.block(name) is not None:  # swept, and used again
                self._pending.append((name, used))
