"""Prompts that are made to fit the context, where the client lets something be left out."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from ....protocol import ChatPrompt, TextPrompt
from ..conversation import with_messages
from ..refused import TooLarge
from ..text.size import most_bytes


class Tokenized(Protocol):
    @property
    def tokens(self) -> list[int]: ...


Written = TypeVar("Written", bound=Tokenized)


def recent(prompt: ChatPrompt, limit: int, write: Callable[[ChatPrompt], Written]) -> tuple[Written, bool]:
    """As many of the newest messages as fit, system messages always, and whether some were left out. What is left
    begins with a user's message, for many templates refuse anything else; found by halving, for each try renders and
    tokenizes it all. `write` raises TooLarge for what is seen to be too large before."""
    messages = prompt.messages
    last = len(messages) - 1
    spoken = [place for place, message in enumerate(messages) if message.get("role") != "system"]
    starts = [place for place in spoken[1:] if messages[place].get("role") == "user" or place == last]
    tried: dict[int, Written] = {}
    too_large: list[TooLarge] = []

    def enough(start: int) -> bool:
        part = with_messages(prompt, [p for p, m in enumerate(messages) if p >= start or m.get("role") == "system"])
        try:
            tried[start] = write(part)
        except TooLarge as error:
            too_large.append(error)
            return False
        return len(tried[start].tokens) < limit

    start = 0
    if not enough(0) and starts:
        start = starts[min(bisect.bisect_left(starts, True, key=enough), len(starts) - 1)]
    if start not in tried:
        raise too_large[-1]
    return tried[start], start > 0


def both_ends(prompt: TextPrompt, limit: int, tokenize: Callable[[TextPrompt], list[int]]) -> tuple[list[int], bool]:
    """The tokens of a text or, where it is too long, of its beginning and its end, with a quarter of the context left
    for the answer; and whether it was cut."""
    most = most_bytes(limit)
    cut = len(prompt.text) > 2 * most
    part = msgspec.structs.replace(prompt, text=prompt.text[:most] + prompt.text[-most:]) if cut else prompt
    tokens = tokenize(part)
    if len(tokens) >= limit:
        kept = max(2, limit - max(1, limit // 4))
        head = kept // 2
        tokens, cut = tokens[:head] + tokens[len(tokens) - (kept - head) :], True
    return tokens, cut
