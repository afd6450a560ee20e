"""Blocks of long prompts that are on disk and not in memory: read by threads, taken into memory in order, here on MLX's
thread, a few in each step. A prompt waits for its blocks while they come."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future

import mlx.core as mx

from ..block import Block
from ..chain import BLOCK, Chain
from ..layers import arrays, pieces, together
from ..prefix_cache import PrefixCache
from ..recording import TOGETHER
from .block_bytes import to_block
from .block_file import BlockFile, DamagedBlock
from .block_reader import BlockReader, Found, Wanted
from .cache_layout import Layout

_AHEAD = 8  # files
_AHEAD_BYTES = 128 << 20
_PORTION = 64 << 20
_STUCK_SECONDS = 10.0


class _Reading:
    """One prompt's."""

    def __init__(self, chain: Chain, number: int, found: Future[tuple[Found, ...]]) -> None:
        self.chain = chain
        self.parent = chain.parent(number)
        self.start = number * BLOCK
        self.found: Future[tuple[Found, ...]] | None = found
        self.left: deque[Found] = deque()
        self.coming: deque[tuple[Found, Future[BlockFile | None]]] = deque()
        self.ready: list[Block] = []
        self.width = 1  # bytes of the last block
        self.moved = time.monotonic()

    @property
    def futures(self) -> list[Future[object]]:
        found: list[Future[object]] = [self.found] if self.found is not None else []  # type: ignore[list-item]
        return found + [future for _, future in self.coming]  # type: ignore[misc]


class ReadBack:
    """`tokens` counts those that came from the disk."""

    def __init__(self, kept: PrefixCache, reader: BlockReader, layout: Layout) -> None:
        self._kept = kept
        self._reader = reader
        self._layout = layout
        self._readings: dict[int, _Reading] = {}
        self._stuck: list[Future[object]] = []
        self.tokens = 0

    @property
    def reading(self) -> bool:
        return bool(self._readings)

    def forget(self, number: int) -> None:
        """The prompt of this request does not wait any more."""
        self._readings.pop(number, None)

    def wait(self, seconds: float) -> None:
        """Until something has come, or for so long."""
        self._reader.wait(seconds)

    def goes_on(self, number: int) -> bool | None:
        """Take what has come of the prompt of this request. Whether more is to come; None where it was not begun."""
        reading = self._readings.get(number)
        if reading is None:
            return None
        if self._advance(reading):
            return True
        del self._readings[number]
        return False

    def begin(self, number: int, chain: Chain, length: int) -> None:
        """Look for more of the first `length` tokens of this request's prompt."""
        depth = self._kept.depth(chain, length)
        wanted = Wanted(
            names=tuple(chain.names(length)[depth:]),
            tokens=tuple(chain.tokens[depth * BLOCK : length]),
            parent=chain.parent(depth),
            needs_ends=self._kept.needs_snapshots,
        )
        self._readings[number] = _Reading(chain, depth, self._reader.find(wanted))

    def has_another(self, chain: Chain, length: int) -> bool:
        """Whether a prompt is being read that goes on from the same block as this one."""
        parent = chain.parent(self._kept.depth(chain, length))
        return any(one.parent == parent for one in self._readings.values())

    @property
    def stuck(self) -> bool:
        """Whether the disk has not answered for so long that nobody waits for it any more."""
        self._stuck = [future for future in self._stuck if not future.done()]
        return bool(self._stuck)

    def close(self) -> None:
        self._reader.close()

    def _advance(self, reading: _Reading) -> bool:
        """Whether more is to come."""
        if reading.found is not None:
            if not reading.found.done():
                return self._is_patient(reading)
            reading.left.extend(reading.found.result())
            reading.found = None
        taken = 0
        while taken < _PORTION:
            self._ask(reading)
            if not reading.coming:
                return False
            found, future = reading.coming[0]
            if not future.done():
                return self._is_patient(reading)
            reading.coming.popleft()
            block = self._block(found, future)
            last = block is None or not (reading.left or reading.coming)
            if block is not None:
                taken += block.nbytes
                reading.width = block.nbytes
                reading.moved = time.monotonic()
                reading.ready.append(block)
            if (last or len(reading.ready) == TOGETHER) and not self._keep(reading):
                return False
            if last:
                return False
        return True

    def _ask(self, reading: _Reading) -> None:
        most = min(_AHEAD, max(1, _AHEAD_BYTES // reading.width))
        while reading.left and len(reading.coming) < most:
            found = reading.left.popleft()
            reading.coming.append((found, self._reader.read(found.name)))

    def _is_patient(self, reading: _Reading) -> bool:
        if time.monotonic() - reading.moved < _STUCK_SECONDS:
            return True
        self._stuck += reading.futures
        return False

    def _block(self, found: Found, future: Future[BlockFile | None]) -> Block | None:
        try:
            file = future.result()
            block = None if file is None else to_block(file, self._layout)
        except (DamagedBlock, OSError, MemoryError):
            return None
        return block if block is not None and len(block) == found.tokens else None

    def _keep(self, reading: _Reading) -> bool:
        """Take in what is ready, whole neighbours in one piece of memory. Whether all of it is kept."""
        blocks, reading.ready = reading.ready, []
        neighbours = [block for block in blocks if len(block) == BLOCK]
        whole = together([block.parts for block in neighbours]) if neighbours else ()
        shared = iter(list(pieces(whole, BLOCK)) if any(whole) else [block.parts for block in neighbours])
        computed = arrays(whole)
        for place, block in enumerate(blocks):
            inside = len(block) == BLOCK and any(whole)
            stop = reading.start + len(block)
            self._kept.add(
                reading.chain,
                reading.start,
                stop,
                next(shared) if len(block) == BLOCK else block.parts,
                block.snapshots,
                whole=whole if inside else None,
                place=place * BLOCK if inside else 0,
                stored=True,
            )
            if self._kept.block(block.name) is None:
                return False
            computed += arrays(() if inside else block.parts, block.snapshots or ())
            reading.start = stop
            self.tokens += len(block)
        mx.async_eval(computed)
        return True
