"""The choices of one request: they share a prompt and its prefill, and part when they decode."""

from __future__ import annotations

from ..prompt.prompt_frames import PackedPicture
from .sampling.scores import Scores
from .sequence import Sequence


class Choices:
    """`waiting` are the sequences that are not in the batch; all of them have the same tokens. `scores`: the prompt's
    own are wanted, and not told yet."""

    def __init__(self, sequences: list[Sequence], scores: Scores | None = None) -> None:
        self.waiting = sequences
        self.scores = scores
        self.id = sequences[0].ask

    @property
    def tokens(self) -> list[int]:
        return self.waiting[0].tokens

    @property
    def length(self) -> int:
        return self.waiting[0].length

    @property
    def alone(self) -> bool:
        return bool(self.pictures)

    @property
    def pictures(self) -> tuple[PackedPicture, ...]:
        return self.waiting[0].pictures

    @property
    def rows(self) -> int:
        return len(self.waiting)
