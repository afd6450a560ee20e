"""Reasoning and calls between markers, in the text of an answer."""

from __future__ import annotations

import functools
import re
from collections import deque

from ..overlap import overlap
from ..pieces import Piece, Reasoning, Text
from .family import CallBlock, Family
from .format import TextChannel
from .notation.call_sink import CallSink
from .notation.cursor import BlockReading

_PATIENCE = 4
"""How many times its length a text may be read again for calls that it does not have."""
_LEAST_PATIENCE = 1 << 16
_STRETCH = 512
"""A reader gets no more text at once, so that little is read again where it finds no call."""


class MarkedFormat:
    """Follows a family's markers through a growing text; what may be the beginning of a marker is kept back.

    A reasoning block begins where nothing was said yet, a block of calls anywhere: in the reasoning too, which it then
    ends. What an opening marker is followed by decides whether it is one; where it is not, it is text, and what follows
    is read again. White space beside a block is layout and is dropped. `sink` None: calls stay text.
    """

    def __init__(
        self, family: Family, sink: CallSink | None = None, *, reasoning: bool = True, inside_reasoning: bool = False
    ) -> None:
        self._sink = sink
        calls = family.calls if sink else ()
        self._blocks = {block.opener: block for block in calls if not block.bare}
        self._bare = [block for block in calls if block.bare]
        thoughts = family.thoughts if reasoning else ()
        self._starts = [each.start for each in thoughts if each.start]
        self._ends = [each.end for each in thoughts]
        self._layout = dict(family.layout)
        self._closing: list[str] = []
        self.channel: TextChannel = "reasoning" if inside_reasoning and self._ends else "content"
        self._queue: deque[str] = deque()
        self._held = ""
        self._blanks = ""  # at the beginning: layout if a block follows, else text
        self._fresh = True  # nothing was said since the beginning, or since a block
        self._bare_may_come = True
        self._strip = self.channel == "reasoning"
        self._reading: _Block | None = None
        self._seen = self._again = 0

    def add(self, text: str) -> list[Piece]:
        pieces: list[Piece] = []
        self._seen += len(text)
        self._put(text)
        self._follow(pieces)
        return pieces

    def finish(self, *, cut: bool = False) -> list[Piece]:
        pieces: list[Piece] = []
        while self._held or self._reading:
            if self._reading is not None:
                self._reading.blocks.finish(cut=cut)
                self._read_on(pieces)
            else:
                self._look(pieces, final=True)
            self._follow(pieces)
        if self._blanks:
            pieces.append(Text(self._blanks))
            self._blanks = ""
        return pieces

    def _put(self, text: str) -> None:
        """In front of what waits already, for it was read before."""
        self._queue.extendleft(text[at : at + _STRETCH] for at in reversed(range(0, len(text), _STRETCH)))

    def _follow(self, pieces: list[Piece]) -> None:
        while self._queue:
            self._held += self._queue.popleft()
            moved = True
            while moved:
                moved = self._read_on(pieces) if self._reading is not None else self._look(pieces)

    def _look(self, pieces: list[Piece], *, final: bool = False) -> bool:
        """Up to the next marker. Whether there was one."""
        if (waits := self._begin_bare(final)) is not None:
            return not waits
        markers, first, any_marker = _patterns(self._markers())
        begins = first.search(self._held)
        found = any_marker.search(self._held, begins.start()) if begins else None
        if found is not None:
            self._give(pieces, self._held[: found.start()])
            self._held = self._held[found.end() :]
            self._meet(pieces, found[0])
            return True
        keep = 0 if final or begins is None else overlap(self._held, markers)
        self._give(pieces, self._held[: len(self._held) - keep])
        self._held = self._held[len(self._held) - keep :]
        return False

    def _markers(self) -> tuple[str, ...]:
        """All that may mean something where the text stands."""
        patient = self._again <= _PATIENCE * self._seen + _LEAST_PATIENCE
        openers = self._blocks if patient else ()
        if self.channel == "reasoning":
            return (*self._ends, *openers)
        return (*openers, *self._starts, *self._ends, *self._layout, *self._closing)

    def _meet(self, pieces: list[Piece], marker: str) -> None:
        """A marker stands here. What it is depends on what came before."""
        if (block := self._blocks.get(marker)) is not None:
            self._begin(block)
        elif self.channel == "reasoning":
            self.channel, self._fresh, self._strip = "content", True, True
            self._await_closing(marker)
        elif marker in self._closing:
            self._closing.remove(marker)
            self._strip = True
        elif self._fresh and marker in self._starts:
            self.channel, self._blanks, self._strip = "reasoning", "", True
        elif self._fresh and (marker in self._ends or marker in self._layout):
            self._blanks, self._strip = "", True
            self._await_closing(marker)
        else:
            self._give(pieces, marker)

    def _await_closing(self, marker: str) -> None:
        if closing := self._layout.get(marker):
            self._closing.append(closing)

    def _begin(self, block: CallBlock) -> None:
        """`_held` is what follows the opener."""
        if self._sink is not None:
            self._reading = _Block(block, BlockReading(block.read, self._sink), self.channel)
            self.channel = "tool"
            if block.inclusive:
                self._held = block.opener + self._held

    def _begin_bare(self, final: bool) -> bool | None:
        """A call without a marker, which only an answer's beginning can be. None: there is none; else whether more text
        must come first."""
        if not (self._bare and self._bare_may_come and self._fresh and self.channel == "content"):
            return None
        start = self._held.lstrip()
        for block in self._bare:
            if start.startswith(block.opener):
                self._blanks += self._held[: len(self._held) - len(start)]
                self._held = start[len(block.opener) :]
                self._bare_may_come = False
                self._begin(block)
                return False
        waits = not final and any(block.opener.startswith(start) for block in self._bare)
        return True if waits else None

    def _read_on(self, pieces: list[Piece]) -> bool:
        """Give the reader what there is. Whether it is done, and the rest can be followed."""
        reading, sink = self._reading, self._sink
        if reading is None or sink is None:
            return False
        if self._held and not reading.blocks.done:
            reading.blocks.add(self._held)
            self._held = ""
        if given := sink.take():
            self._blanks = ""
            pieces.extend(given)
        if not reading.blocks.done:
            return False
        rest = reading.blocks.rest + self._held
        self._held, self._reading = "", None
        if reading.blocks.calls:
            self.channel, self._strip, self._fresh = "content", True, True
            self._bare_may_come = not reading.blocks.broken
        else:
            self.channel = reading.channel
        self._again += len(rest)
        if reading.blocks.broken or not reading.blocks.calls:
            self._give(pieces, reading.block.opener)
            rest = rest.removeprefix(reading.block.opener) if reading.block.inclusive else rest
        self._put(rest)
        return False

    def _give(self, pieces: list[Piece], text: str) -> None:
        if self._strip:
            text = text.lstrip()
            self._strip = not text
        if not text:
            return
        if self.channel == "reasoning":
            pieces.append(Reasoning(text))
        elif self._fresh and not text.strip():
            self._blanks += text
        else:
            pieces.append(Text(self._blanks + text))
            self._blanks, self._fresh = "", False


@functools.lru_cache(maxsize=256)
def _patterns(markers: tuple[str, ...]) -> tuple[tuple[str, ...], re.Pattern[str], re.Pattern[str]]:
    """The markers, what finds the first letter of one, and what finds one: the first in this order where two begin."""
    first = "".join(sorted({re.escape(marker[0]) for marker in markers}))
    return (
        markers,
        re.compile(f"[{first}]" if first else "(?!)"),
        re.compile("|".join(map(re.escape, markers)) or "(?!)"),
    )


class _Block:
    """A block of calls that is being read, and the channel that the text was in before."""

    def __init__(self, block: CallBlock, blocks: BlockReading, channel: TextChannel) -> None:
        self.block = block
        self.blocks = blocks
        self.channel: TextChannel = channel
