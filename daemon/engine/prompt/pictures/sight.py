"""The pictures of one prompt: put where its chat template wants them, then found among its tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ....protocol import Picture
from ..prompt_frames import PackedPicture, SightData
from ..refused import Refused, TooLarge, excess
from ..text.control_tokens import Marks
from .arrangement import FAMILIES
from .note import Note
from .processor import Arranged, PictureProcessor


class Sight:
    """For one model that sees. `mark` is what chat templates write for a picture."""

    def __init__(self, data: SightData) -> None:
        self._data = data
        self._processor = PictureProcessor(data)
        self._read: dict[tuple[str, str | None], Arranged] = {}
        self.mark = FAMILIES[data.family].mark or data.token
        self.tokens = tuple(dict.fromkeys((self.mark, data.token)))

    def forget(self) -> None:
        """The pictures of the last request."""
        self._read = {}

    def placed(
        self, rendered: str, marked: Marks, pictures: Sequence[Picture], limit: int, note: Note
    ) -> tuple[str, list[Arranged]]:
        """A rendered chat with each picture's text in place of its mark; marks that users wrote are not meant.

        `limit`: tokens that the model's context has. Raises Refused.
        """
        found = re.compile(f"(?<!{marked.start}){re.escape(self.mark)}")
        count = len(found.findall(rendered))
        if count != len(pictures):
            raise _misplaced(count, pictures)
        read: list[Arranged] = []
        tokens = 0
        for picture in pictures:
            read.append(self._once(picture, note))
            tokens += sum(read[-1].arrangement.runs)
            if tokens >= limit:
                raise TooLarge(
                    "context_length_exceeded",
                    f"{picture.param}: with this picture the pictures take {tokens} tokens, which the model's maximum "
                    f"context length ({limit} tokens) does not hold: send fewer or smaller ones",
                    picture.param,
                    excess(tokens, limit),
                )
        texts = iter([one.arrangement.text for one in read])
        return found.sub(lambda _: next(texts), rendered), read

    def spread(self, ids: list[int], read: Sequence[Arranged]) -> tuple[list[int], tuple[PackedPicture, ...]]:
        """Every picture token stands for a run of them. Raises Refused where the tokenizer lost one."""
        runs = [run for one in read for run in one.arrangement.runs]
        token = self._data.token_id
        if ids.count(token) != len(runs):
            raise _misplaced(ids.count(token), [one.picture for one in read])
        tokens: list[int] = []
        places: list[int] = []
        left = iter(runs)
        for each in ids:
            run = next(left) if each == token else 1
            if each == token:
                places += range(len(tokens), len(tokens) + run)
            tokens += [each] * run
        if places and places[-1] == len(tokens) - 1:
            param = read[-1].picture.param
            raise Refused("invalid_request", f"{param}: the prompt must not end with a picture", param)
        ends = np.cumsum([sum(one.arrangement.runs) for one in read])[:-1]
        parts = np.split(np.array(places, np.int32), ends) if read else []
        return tokens, tuple(one.packed(part) for one, part in zip(read, parts, strict=True))

    def _once(self, picture: Picture, note: Note) -> Arranged:
        key = picture.digest, picture.detail
        if key not in self._read:
            self._read[key] = self._processor.prepare(picture, lambda pixels: note(0, pixels, self._kept))
            note(0, kept=self._kept)
        return self._read[key]

    @property
    def _kept(self) -> int:
        """Bytes of the pictures that were read."""
        return sum(array.nbytes for one in self._read.values() for array in one.arrangement.arrays.values())


def _misplaced(count: int, pictures: Sequence[Picture]) -> Refused:
    param = pictures[0].param if pictures else "messages"
    message = (
        f"{param}: the prompt has places for {count} pictures, and there are {len(pictures)}; the chat template does "
        "not show every message's pictures"
    )
    return Refused("invalid_request", message, param)
