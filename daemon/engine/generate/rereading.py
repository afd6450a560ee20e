"""Why more of a prompt is read than what it begins with was read before: what the log says of a request."""

from __future__ import annotations

import msgspec

from ...protocol import ChatPrompt, Prompt, Reread, RereadReason
from ...protocol import Reuse as Sort
from ..prefix.chain import BLOCK, Chain
from ..prefix.known_texts import KnownTexts
from ..prefix.prefix_cache import PrefixCache
from .choices import Choices
from .sequence import Sequence

LEAST_GAIN = 64  # tokens that are worth waiting for, or a word in the log


class Rereading:
    """Remembers which texts were read, as what is `kept` of them does not. `sort` as in Loaded, `grain` as in Reuse."""

    def __init__(self, kept: PrefixCache | None, sort: Sort, grain: int) -> None:
        self._kept = kept
        self._sort = sort
        self._grain = grain
        self._known = KnownTexts()

    def remember(self, sequence: Sequence, chain: Chain, tokens: int) -> None:
        """So many tokens of this chain, which is the sequence's, were read or said."""
        self._known.remember(sequence.id, chain, tokens, _options(sequence.request.prompt))

    def why(self, request: Choices, *, slow: bool) -> Reread | None:
        """None where no more is read of it. `slow`: what is on disk of it would have come later than it is computed."""
        length = request.length - 1
        known = self._known.longest(request.chain, length, _options(request.waiting[0].request.prompt))
        reused = request.start
        missed = min(known.tokens, length) - reused
        if known.tokens < LEAST_GAIN:
            return None
        if missed >= LEAST_GAIN and (self._kept is None or not request.reusable):
            reason: RereadReason = "unknown caches" if self._sort == "unknown" else "off"
        elif missed >= max(LEAST_GAIN, self._grain) and self._kept is not None:
            there = self._kept.common(request.chain, length) >= known.tokens - LEAST_GAIN
            missing: RereadReason = "only whole turns are kept" if self._kept.whole_turns else "boundary not kept"
            reason = missing if there else "computed sooner" if slow else "evicted"
        elif missed < LEAST_GAIN and known.tokens < length and known.length - known.tokens >= BLOCK:
            there_too: RereadReason = "another picture" if known.picture else "diverged"
            reason = there_too if known.same_options or known.picture else "other template options"
        else:
            return None
        return Reread(known=known.length, common=known.tokens, reused=reused, reason=reason)


def _options(prompt: Prompt) -> object:
    """What a chat template is given beside the messages."""
    if not isinstance(prompt, ChatPrompt):
        return None
    return hash(msgspec.json.encode(msgspec.structs.replace(prompt, messages=(), pictures=())))
