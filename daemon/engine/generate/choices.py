"""The choices of one request: they share a prompt and its prefill, and part when they decode."""

from __future__ import annotations

from ...protocol import Reread
from ..prefix.chain import Chain
from ..prefix.match import Match
from ..prompt.prompt_frames import PackedPicture
from ..vision.picture_places import PicturePlaces
from .sampling.scores import Scores
from .sequence import Sequence


class Choices:
    """`waiting` are the sequences that are not in the batch; all of them have the same tokens. `scores`: the prompt's
    own are wanted, and not told yet. `match`: what of them is in the prefix cache, as of its version `seen`; `earliest`
    is as the scheduler has it. `deferred`: another one is being read that begins like this, or blocks of it come from
    files, for which the disk is `searched` once. `reread`: why more of it is read than need be."""

    def __init__(self, sequences: list[Sequence], scores: Scores | None = None) -> None:
        self.waiting = sequences
        self.scores = scores
        self.id = sequences[0].ask
        self.match = Match()
        self.seen = -1
        self.earliest = 0
        self.deferred = False
        self.searched = False
        self.reread: Reread | None = None

    @property
    def tokens(self) -> list[int]:
        return self.waiting[0].tokens

    @property
    def length(self) -> int:
        return self.waiting[0].length

    @property
    def chain(self) -> Chain:
        return self.waiting[0].chain

    @property
    def start(self) -> int:
        """How many tokens need not be read."""
        return self.match.length

    @property
    def reusable(self) -> bool:
        """Whether it can go on from what others have read: scores are of every token."""
        return self.scores is None

    def before(self, length: int, grain: int = 1) -> int:
        """The most of the first `length` tokens after which it may be parted: a multiple of `grain`; with pictures,
        which are read in chunks of any width, wherever they allow."""
        return self.places.before(length) if self.alone else length // grain * grain

    @property
    def alone(self) -> bool:
        return bool(self.pictures)

    @property
    def pictures(self) -> tuple[PackedPicture, ...]:
        return self.waiting[0].pictures

    @property
    def places(self) -> PicturePlaces:
        return self.waiting[0].places

    @property
    def rows(self) -> int:
        return len(self.waiting)
