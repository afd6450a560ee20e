"""What of a sequence is kept: the blocks that it begins with."""

from __future__ import annotations

from dataclasses import dataclass

from .block import Block
from .chain import BLOCK
from .layers import Parts, Snapshots, columns


@dataclass(frozen=True)
class Match:
    """The first `length` tokens of a sequence are in these blocks, the last of which may be used in part."""

    blocks: tuple[Block, ...] = ()
    length: int = 0

    def parts(self) -> list[Parts]:
        """The columns of `length` tokens, those of neighbours that were kept together in one part."""
        runs: list[tuple[Parts, int, int]] = []
        left = self.length
        for block in self.blocks:
            width = min(len(block), left)
            left -= width
            end = block.place + width
            if runs and runs[-1][0] is block.run and runs[-1][2] == block.place:
                runs[-1] = (block.run, runs[-1][1], end)
            else:
                runs.append((block.run, block.place, end))
        return [columns(*run) for run in runs]

    def same(self, other: Match) -> bool:
        """Whether these are the same tokens after the same ones, be it in blocks that go on in different ways."""
        if self.length != other.length or self.blocks[:-1] != other.blocks[:-1]:
            return False
        if not self.blocks or self.blocks[-1] is other.blocks[-1]:
            return True
        left = self.length - sum(map(len, self.blocks[:-1]))
        return left < BLOCK and self.blocks[-1].beginning(left) == other.blocks[-1].beginning(left)

    def cut(self, length: int) -> Match:
        """The same of fewer tokens."""
        if length == self.length:
            return self
        count, covered = 0, 0
        while covered < length:
            covered += len(self.blocks[count])
            count += 1
        return Match(self.blocks[:count], length)

    @property
    def snapshots(self) -> Snapshots:
        return (self.blocks[-1].snapshots or ()) if self.blocks else ()
