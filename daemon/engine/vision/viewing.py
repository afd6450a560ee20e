"""Pictures of all requests of one model: what they take in memory, and a view for each prompt that is prefilled."""

from __future__ import annotations

from collections.abc import Sequence

from ..prompt.prompt_frames import PackedPicture
from .features import Features
from .seeing import SeeingNetwork
from .view import Glance, View

KEPT_SHARE = 1 / 8
LARGEST_KEPT = 1 << 30


class Views:
    """`held`: bytes of features, and of the pixels of requests that are not over. `seconds`: for one piece of work."""

    def __init__(self, network: SeeingNetwork | None, seconds: float, memory: int | None) -> None:
        self._network = network
        self._glance = Glance(seconds)
        self._features = Features(LARGEST_KEPT)
        self._pixels: dict[int, int] = {}
        self.limit(memory)

    def limit(self, memory: int | None) -> None:
        """So many bytes are for caches and features together."""
        self._features.most = LARGEST_KEPT if memory is None else min(LARGEST_KEPT, int(memory * KEPT_SHARE))

    @property
    def held(self) -> int:
        return self._features.nbytes + sum(self._pixels.values())

    def clear(self) -> bool:
        """Drop features that nobody needs now; whether there were any."""
        return self._features.clear()

    def admit(self, number: int, pictures: Sequence[PackedPicture]) -> None:
        if pictures:
            self._pixels[number] = sum(len(packed.data) for picture in pictures for packed in picture.arrays.values())

    def dismiss(self, number: int) -> None:
        self._pixels.pop(number, None)

    def needed(self, pictures: Sequence[PackedPicture]) -> int:
        """Bytes of the features of these."""
        if self._network is None or not pictures:
            return 0
        return self._network.feature_bytes(sum(len(picture.places) // 4 for picture in pictures))

    def view(self, pictures: Sequence[PackedPicture], length: int, start: int = 0) -> View | None:
        """Of a prompt of so many tokens, `start` of which need not be read; None where there is no picture in it."""
        if self._network is None or not pictures:
            return None
        return View(self._network, self._features, self._glance, pictures, length, start)
