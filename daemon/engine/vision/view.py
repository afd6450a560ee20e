"""The pictures of one request on their way into its prompt: looked at piece by piece, then put among the embeddings."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from ..model.inputs import Inputs
from ..prompt.prompt_frames import PackedArray, PackedPicture
from .axes import Span, spread_positions
from .features import Features
from .picture_places import runs
from .seeing import SeeingNetwork
from .whole_pictures import Groups, grouping_caches


class Glance:
    """How many pieces of a tower's work fit into `seconds`: doubled while they take less than half of that."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.pieces = 1

    def note(self, pieces: int, seconds: float) -> None:
        if seconds > self._seconds:
            self.pieces = max(1, int(pieces * self._seconds / seconds))
        elif pieces >= self.pieces and 2 * seconds < self._seconds:
            self.pieces = 2 * self.pieces


class View:
    """`pending` while features are missing; each `begin_piece` brings them nearer. `shift`: what a token after the
    prompt adds to its place to have its position."""

    def __init__(
        self,
        network: SeeingNetwork,
        features: Features,
        glance: Glance,
        pictures: Sequence[PackedPicture],
        length: int,
        start: int = 0,
    ) -> None:
        """`length`: of the prompt, in tokens, and of what was answered already. `start` of them need not be read:
        pictures that lie before it are not looked at."""
        self._network = network
        self._features = features
        self._glance = glance
        self._pictures = pictures
        self._places = [np.frombuffer(picture.places, np.int32) for picture in pictures]
        self._found: dict[str, mx.array] = {}
        unread = zip(pictures, self._places, strict=True)
        self._waiting = list({one.key: one for one, places in unread if places.size and places[-1] >= start}.values())
        self._stages: list[mx.array] = []
        self._made: mx.array | None = None
        self._begun = 0.0
        self._under_way = 0
        self._pinned = [picture.key for picture in self._waiting]
        for key in self._pinned:
            features.pin(key)
        self._groups = Groups(whole=network.together == "everywhere")
        self.caches = network.make_cache()
        if network.together != "nowhere":
            self.caches = grouping_caches(self.caches, self._groups)
        self._positions: NDArray[np.int32] | None = None
        self.shift = 0
        if network.has_axes:
            spans = [
                Span(int(places[0]), *picture.grid)
                for picture, places in zip(pictures, self._places, strict=True)
                if picture.grid is not None
            ]
            self._positions, self.shift = spread_positions(length, spans)
        self._skip_known()

    @property
    def pending(self) -> bool:
        return bool(self._waiting)

    def begin_piece(self) -> list[mx.array]:
        """What to wait for: a part of a picture, or the last part with its features."""
        picture = self._waiting[0]
        if self._made is None:
            arrays = {name: _array(packed) for name, packed in picture.arrays.items()}
            self._made, self._stages = self._network.look(arrays)
        self._under_way = min(self._glance.pieces, len(self._stages))
        passed, self._stages = self._stages[: self._under_way], self._stages[self._under_way :]
        under_way = passed[-1:]
        if not self._stages:
            under_way = [self._made]
            self._found[picture.key], self._made = self._made, None
            self._waiting.pop(0)
        self._begun = time.monotonic()
        mx.async_eval(under_way)
        if picture.key in self._found:
            self._features.put(picture.key, self._found[picture.key])
            self._skip_known()
        return under_way

    def note(self, seconds: float) -> None:
        """The piece that was begun last took so long."""
        if self._under_way:
            self._glance.note(self._under_way, seconds)

    def _skip_known(self) -> None:
        while self._waiting and (known := self._features.get(self._waiting[0].key)) is not None:
            assert isinstance(known, mx.array)
            self._found[self._waiting.pop(0).key] = known

    def end(self, begin: int, end: int) -> int:
        """Where a chunk that may go to `end` ends so that no picture is cut, where none may be."""
        if self._network.together == "nowhere":
            return end
        for places in self._places:
            for first, last in runs(places):
                if first < end <= last:
                    return first if first > begin else last + 1
        return end

    def inputs(self, tokens: mx.array, begin: int) -> Inputs:
        """Of a chunk of the prompt, (1, width), that begins at this place."""
        width = tokens.shape[1]
        positions = None
        if self._positions is not None:
            positions = mx.array(self._positions[:, None, begin : begin + width])
        rows, features, groups, group = [], [], np.zeros(width, np.int32), 0
        for picture, places in zip(self._pictures, self._places, strict=True):
            first, last = bisect_left(places, begin), bisect_left(places, begin + width)
            if first < last:
                rows.append(places[first:last] - begin)
                features.append(self._found[picture.key][:, first:last])
                for start, stop in runs(places):
                    group += 1
                    groups[max(start - begin, 0) : max(stop + 1 - begin, 0)] = group
        self._groups.of = mx.array(groups) if rows else None
        if not rows:
            return Inputs(tokens, positions=positions)
        where = mx.array(np.concatenate(rows))
        found = mx.concatenate(features, axis=1)
        embeddings = self._network.embed(tokens)
        if self._network.blank is not None:
            tokens = mx.array(tokens)
            tokens[0, where] = self._network.blank
        embeddings[0, where] = found[0].astype(embeddings.dtype)
        additions = None
        if found.shape[0] > 1:
            additions = mx.zeros((found.shape[0] - 1, *embeddings.shape), dtype=embeddings.dtype)
            additions[:, 0, where] = found[1:].astype(embeddings.dtype)
        return Inputs(tokens, embeddings, positions, additions)

    def release(self) -> None:
        """The features are not needed any more, or not for now."""
        for key in self._pinned:
            self._features.unpin(key)
        self._pinned = []
        self._found, self._stages, self._made = {}, [], None


def _array(packed: PackedArray) -> mx.array:
    return mx.array(np.frombuffer(packed.data, packed.dtype).reshape(packed.shape))
