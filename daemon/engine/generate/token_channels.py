"""Which part of an answer each token became: its log-probability stands beside that part and no other."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...protocol import TokenChannel, TokenLogprob
from ..output.formats.format import TextChannel
from ..output.pieces import Call, CallDelta, Piece, Reasoning, Text


class TokenChannels:
    """Tokens wait until it is known what they are: a marker may come in several of them. What led to a text and is not
    in it (a marker, white space beside one) is layout."""

    def __init__(self) -> None:
        self._waiting: list[tuple[TokenLogprob, str]] = []
        self._called = False

    def add(
        self, token: TokenLogprob | None, text: str, before: TextChannel, after: TextChannel, pieces: Sequence[Piece]
    ) -> tuple[TokenLogprob, ...]:
        """The tokens that are known with this one: `text` is what it adds, `pieces` what the format made of it, whose
        channel was `before` and is `after`."""
        if token is not None:
            self._waiting.append((token, text))
        if not self._waiting:
            return ()
        said = _text(pieces)
        if _calls(pieces) or (before == "tool" != after and not said):
            return self._all("tool")
        if said:
            return self._content(said)
        if after != "tool" and ("reasoning" in (before, after) or any(isinstance(p, Reasoning) for p in pieces)):
            return self._all("reasoning")
        return ()

    def rest(self, pieces: Sequence[Piece]) -> tuple[TokenLogprob, ...]:
        """At the end of the answer: all that still wait."""
        said = _text(pieces)
        return self._all("tool") if _calls(pieces) or (self._called and not said) else self._content(said)

    def _content(self, said: str) -> tuple[TokenLogprob, ...]:
        skipped = sum(len(text) for _, text in self._waiting) - len(said)
        found, at = [], 0
        for token, text in self._waiting:
            at += len(text)
            layout = at <= skipped and bool(text)
            found.append(msgspec.structs.replace(token, channel="layout") if layout else token)
        self._waiting = []
        return tuple(found)

    def _all(self, channel: TokenChannel) -> tuple[TokenLogprob, ...]:
        found = tuple(msgspec.structs.replace(token, channel=channel) for token, _ in self._waiting)
        self._waiting = []
        self._called = self._called or channel == "tool"
        return found


def _text(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, Text))


def _calls(pieces: Sequence[Piece]) -> bool:
    return any(isinstance(piece, Call | CallDelta) for piece in pieces)
