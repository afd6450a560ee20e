"""Prompts that ask for an insertion: a prefix and a suffix between the model's fill-in-the-middle tokens."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from ....protocol import TextPrompt
from ..refused import Refused, check_size
from ..text.control_tokens import Marks, encode, marks, pattern
from ..text.encoding import Encoding, around
from ..text.size import most_bytes, size
from .markers import ends, find


class Insertion:
    """Prompts of one tokenizer that ask for an insertion. `control` as in `TokenizerData`."""

    def __init__(self, encoding: Encoding, control: tuple[str, ...] | None) -> None:
        self._encoding = encoding
        self._markers = find(encoding.added)
        self._control = (*ends(encoding.added), *(control or ()))

    def fitted(self, prompt: TextPrompt, limit: int, note: Callable[[int], None]) -> tuple[list[int], str, bool]:
        """Token ids and text of the prompt, and whether it was cut. With `drop_middle`, one that leaves no room in
        `limit` tokens loses the beginning of its prefix and the end of its suffix: of three quarters of the context the
        prefix gets three parts, the suffix one, and each what the other leaves.

        `note` as `Preparer` has it. Raises Refused.
        """
        markers, before, behind = self._markers, prompt.text, prompt.suffix or ""
        if markers is None:
            message = "'suffix' is not supported: this model has no fill-in-the-middle tokens, so it cannot insert text"
            raise Refused("unsupported", message, "suffix")
        cut = False
        if prompt.drop_middle:
            most = most_bytes(limit)
            cut = len(before) > most or len(behind) > most
            before, behind = before[max(0, len(before) - most) :], behind[:most]
        else:
            check_size([before, behind], limit, "prompt")
        note(size(before) + size(behind))
        prefix, suffix = self._ids(before, behind)
        begin = list(self._beginning) if prompt.add_special_tokens else []
        total = len(begin) + len(markers.needed) + len(prefix) + len(suffix)
        if prompt.drop_middle and total >= limit:
            room = max(0, limit - max(1, limit // 4) - (total - len(prefix) - len(suffix)))
            kept = min(len(suffix), max(room // 4, room - len(prefix)))
            prefix, suffix, cut = prefix[len(prefix) - min(len(prefix), room - kept) :], suffix[:kept], True
        head, hole = [self._id(markers.prefix), *prefix], [self._id(markers.suffix), *suffix]
        if markers.middle:
            text = f"{markers.prefix}{before}{markers.suffix}{behind}{markers.middle}"
            return [*begin, *head, *hole, self._id(markers.middle)], text, cut
        return [*begin, *hole, *head], f"{markers.suffix}{behind}{markers.prefix}{before}", cut

    def _ids(self, before: str, behind: str) -> tuple[list[int], list[int]]:
        """The prefix is a text of its own, for SentencePiece too, which puts a space in front of one; the suffix goes
        on in the middle of one. So do Code Llama and Codestral. Markers that the texts spell are text."""
        found = marks(self._tokens, (before, behind))
        inside = found.start + str(found.around(behind))  # a mark without a partner parts it from a beginning
        return self._encoded(str(found.around(before)), found), self._encoded(inside, found)

    def _encoded(self, text: str, found: Marks) -> list[int]:
        return encode(self._encoding, text, found) if text else []

    def _id(self, marker: str) -> int:
        token = self._encoding.id(marker)
        assert token is not None, f"{marker} is an added token"
        return token

    @functools.cached_property
    def _tokens(self) -> re.Pattern[str]:
        """What is text where the client's code spells it."""
        return pattern(self._encoding.added, self._control, "")

    @functools.cached_property
    def _beginning(self) -> tuple[int, ...]:
        """What the tokenizer puts in front of every text: its BOS token, or nothing."""
        found = around(self._encoding.ids)
        return () if found is None else tuple(found[0])
