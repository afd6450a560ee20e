"""Blocks of prompts and answers by their names, within a number of bytes, the least recently used leaf going first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import takewhile

import mlx.core as mx

from ..shares import Buffers
from .block import Block, Size, size_of
from .chain import BLOCK, Chain, end_name
from .layers import Parts, Snapshots, arrays, width
from .match import Match
from .siblings import Siblings

ANY = Buffers()
_NONE = Siblings()
_LEAST_RUNS = 4  # pieces of memory that several blocks share, of which there must be room for so many


class PrefixCache:
    """`needs_snapshots`: a sequence can only go on from where all layers that are not kept by columns were.
    `whole_turns`: all that is kept are states of all layers together, each as large as the cache of all before it, so
    that there are none within prompts but where others go on. `begin` begins to compute copies. `buffers`: what
    memory comes in, and how many of them this may have.

    A block is there only while the one that it follows is; what is used is used with all that it follows. `watch` is
    called with each block that comes, or is given snapshots, its chain, and where it ends.
    """

    def __init__(
        self,
        limit: int,
        *,
        needs_snapshots: bool,
        whole_turns: bool = False,
        begin: Callable[[list[mx.array]], None] = mx.async_eval,
        buffers: Buffers = ANY,
    ) -> None:
        self._begin = begin
        self._buffers = buffers
        self.limit = limit
        self.whole_turns = whole_turns
        self.needs_snapshots = needs_snapshots
        self.size = Size()
        self.evictions = 0
        self.version = 0
        self.watch: Callable[[Block, Chain, int], None] | None = None
        self._blocks: OrderedDict[bytes, Block] = OrderedDict()  # each before the one that it follows
        self._children: dict[bytes, Siblings] = {}
        self._live: dict[int, int] = {}  # tokens of each run of columns that blocks are left of, by its id

    def __len__(self) -> int:
        return len(self._blocks)

    @property
    def nbytes(self) -> int:
        return self.size.nbytes

    # looking

    def depth(self, chain: Chain, length: int) -> int:
        """How many whole blocks of the first `length` tokens are here."""
        names = chain.names(length)
        low, high = 0, len(names)
        while low < high:
            middle = (low + high + 1) // 2
            if names[middle - 1] in self._blocks:
                low = middle
            else:
                high = middle - 1
        return low

    def find(self, chain: Chain, length: int) -> Match:
        """The longest beginning of the first `length` tokens from which a sequence can go on."""
        names = chain.names(length)[: self.depth(chain, length)]
        blocks = [self._blocks[name] for name in names]
        start = len(blocks) * BLOCK
        if not self.needs_snapshots:
            last, common = self._nearest(chain, len(blocks), start, length)
            return Match((*blocks, last), start + common) if last is not None else Match(tuple(blocks), start)
        while True:
            start = len(blocks) * BLOCK
            for end in self._following(chain, len(blocks)).beginnings(_packed_block(chain, start, length)):
                if end.snapshots is not None and len(end) < BLOCK:
                    return Match((*blocks, end), start + len(end))
            if not blocks or blocks[-1].snapshots is not None:
                return Match(tuple(blocks), len(blocks) * BLOCK)
            blocks.pop()

    def _nearest(self, chain: Chain, number: int, start: int, length: int) -> tuple[Block | None, int]:
        """Of what follows the first `number` blocks, that which has most tokens in common from `start` on."""
        return self._following(chain, number).nearest(_packed_block(chain, start, length))

    def _following(self, chain: Chain, number: int) -> Siblings:
        """What follows the first `number` blocks."""
        return self._children.get(chain.parent(number), _NONE)

    def common(self, chain: Chain, length: int) -> int:
        """How many tokens of the first `length` are here, whether or not a sequence can go on from there."""
        depth = self.depth(chain, length)
        return depth * BLOCK + self._nearest(chain, depth, depth * BLOCK, length)[1]

    def block(self, name: bytes) -> Block | None:
        return self._blocks.get(name)

    def has(self, chain: Chain, length: int) -> bool:
        """Whether the first `length` tokens, a multiple of a block, are here."""
        return length % BLOCK == 0 and chain.names(length)[-1] in self._blocks

    def touch(self, match: Match) -> None:
        """It was used just now."""
        for block in reversed(match.blocks):
            if block.name in self._blocks:
                self._blocks.move_to_end(block.name)

    # adding

    def add(
        self,
        chain: Chain,
        start: int,
        stop: int,
        run: Parts,
        snapshots: Snapshots | None = None,
        *,
        place: int = 0,
        stored: bool = False,
    ) -> Block | None:
        """Keep the tokens from `start`, the beginning of a block, to before `stop`. None where what they follow is not
        here any more, or they are already. `run`, `place` and `stored` as in Block."""
        number = start // BLOCK
        names = chain.names(start)
        parent = chain.parent(number)
        if names and names[-1] not in self._blocks:
            return None
        tokens = chain.packed(start, stop)
        full = stop - start == BLOCK
        name = chain.names(stop)[-1] if full else end_name(parent, tokens)
        if name in self._blocks:
            return None
        block = Block(name, parent, tokens, run, snapshots, place)
        block.stored = stored
        if (self._own(block) + self._run(run)).nbytes > self.limit:
            return None
        for other in [one for one in self._children.get(parent, _NONE).beginnings(tokens) if _superfluous(one)]:
            self._drop(other.name)
            self._part(other)
        self._children.setdefault(parent, Siblings()).add(block)
        self._blocks[name] = block
        self.size += self._own(block)
        self._share(block)
        for name in reversed(names):
            self._blocks.move_to_end(name)
        self.version += 1
        self.shrink()
        if self.watch is not None:
            self.watch(block, chain, stop)
        return block

    def add_run(
        self, chain: Chain, start: int, stop: int, run: Parts, snapshots: Snapshots | None = None
    ) -> list[tuple[Block, int]]:
        """As `add`, of tokens of several blocks, whose columns are all in `run`; `snapshots` go to the last one. Gives
        the blocks that are new, each with where it ends. What is large beside the limit has its memory by itself."""
        found = []
        together = _LEAST_RUNS * self._run(run).nbytes <= self.limit
        for first in range(start, stop, BLOCK):
            last = min(first + BLOCK, stop)
            after = snapshots if last == stop else None
            parts, place = (
                (run, first - start) if together else (_copied(run, first - start, last - start, self._begin), 0)
            )
            block = self.add(chain, first, last, parts, after, place=place)
            if block is not None:
                found.append((block, last))
        return found

    def add_state(self, chain: Chain, start: int, stop: int, snapshots: Snapshots) -> None:
        """Keep a state of all layers that came from a file; `start`, the beginning of a block: so much is here."""
        whole = (stop - 1) // BLOCK * BLOCK
        self.add_run(chain, start, whole, ())
        if self.add(chain, whole, stop, (), snapshots, stored=True) is None:
            self.attach(chain, stop, snapshots, stored=True)

    def attach(self, chain: Chain, length: int, snapshots: Snapshots, *, stored: bool = False) -> list[mx.array]:
        """Snapshots after so many tokens, a multiple of a block, go to the block that ends there, if it is here. Gives
        what is to be computed for that. `stored` as in Block."""
        block = self._blocks.get(chain.names(length)[-1]) if self.has(chain, length) else None
        if block is None or block.snapshots is not None:
            return []
        self.size -= self._own(block)
        block.snapshots = snapshots
        block.stored = stored
        self.size += self._own(block)
        self.version += 1
        self.shrink()
        if self.watch is not None:
            self.watch(block, chain, length)
        return arrays((), snapshots)

    # making room

    def shrink(self, limit: int | None = None) -> None:
        """Down to what it may hold, or to less for now. Blocks that share their memory and were used last at the same
        time go together: the rest of them would be copied first."""
        most = self.limit if limit is None else min(self.limit, limit)
        while (self.nbytes > most or self._crowded) and self._blocks:
            together = self._oldest()
            for block in together:
                self._drop(block.name)
            self.evictions += len(together)
            self._part(*together)

    @property
    def _crowded(self) -> bool:
        return self._buffers.most is not None and self.size.buffers > self._buffers.most

    def _oldest(self) -> list[Block]:
        first = next(iter(self._blocks.values()))
        if not first.run:
            return [first]
        return list(takewhile(lambda one: one.run is first.run, self._blocks.values()))

    def clear(self) -> None:
        self.shrink(0)

    def _drop(self, name: bytes) -> None:
        block = self._blocks.pop(name)
        self.size -= self._own(block)
        siblings = self._children[block.parent]
        siblings.remove(block)
        if not siblings:
            del self._children[block.parent]
        self.version += 1

    # memory that neighbours share: it is there until the last of them goes, so all of it counts

    def _share(self, block: Block) -> None:
        if id(block.run) not in self._live:
            self._live[id(block.run)] = 0
            self.size += self._run(block.run)
        self._live[id(block.run)] += len(block)

    def _part(self, *gone: Block) -> None:
        """These of one memory are gone, the last ones of a text first. Where half of it is not needed any more the
        others have it anew, so that a beginning that is used again and again does not hold all that once followed."""
        block = gone[-1]
        run = block.run
        self._live[id(run)] -= sum(map(len, gone))
        if not self._live[id(run)]:
            self._let_go(run)
            return
        if 2 * self._live[id(run)] > width(run):
            return
        left, name = [], block.parent  # those before it, for what follows a block goes first
        while name in self._blocks and self._blocks[name].run is run:
            left.append(self._blocks[name])
            name = left[-1].parent
        self._let_go(run)
        start = left[-1].place
        smaller = _copied(run, start, left[0].place + len(left[0]), self._begin)
        for one in left:
            one.run, one.place = smaller, one.place - start
            self._share(one)

    def _own(self, block: Block) -> Size:
        return block.own(self._buffers.page)

    def _run(self, run: Parts) -> Size:
        return size_of(arrays(run), self._buffers.page)

    def _let_go(self, run: Parts) -> None:
        del self._live[id(run)]
        self.size -= self._run(run)


def _copied(run: Parts, start: int, stop: int, begin: Callable[[list[mx.array]], None]) -> Parts:
    """Columns from `start` to before `stop` in memory of their own, which is begun to be computed."""
    pairs = [
        part and (mx.contiguous(part[0][:, :, start:stop]), mx.contiguous(part[1][:, :, start:stop])) for part in run
    ]
    begin(arrays(tuple(pairs)))
    return tuple(pairs)


def _superfluous(block: Block) -> bool:
    """Whether a longer one with the same beginning says all that this one does."""
    return block.snapshots is None or all(one is None for one in block.snapshots)


def _packed_block(chain: Chain, start: int, length: int) -> bytes:
    """The tokens from `start` on, within the first `length`, as far as a block goes."""
    return chain.packed(start, min(start + BLOCK, length))
