"""How many prompt tokens a step takes: plain arithmetic on the times that steps took.

Three rules. A chunk of a prompt takes at most what LONGEST_SECONDS allow on this device, and is computed in pieces of
PIECE_SECONDS, so that a cancel, a ping or a newcomer waits no longer, however slow the device is: with few layers, of
which a piece has one at least, it is shorter. Beside decoding a
piece takes as long as a step of those who decode, and where it took longer the next one waits until they have had as
much time as it: they go on at half their pace at least. Only prompts of SHORT_SECONDS each do not wait, and where
a device computes in the time of its launches those who decode give way to them, in pieces of SHORT_STEPS of theirs:
rows that come soon are decoded together. What is read to its end within PIECE_SECONDS, or BRIEF_STEPS of theirs, is
read at once, and so are several prompts within GROUP_SECONDS where launches cost most: there 32 short ones take no
longer than four, and in pieces those who decode would lose as much time, and the others more. Where a device computes
in the time of its launches, only so many are read together as are read at once: one after the other they cost no more,
and the first ones wait less. And the configured tokens per step are stretched there only while they make the others'
steps longer by less than STALL_SECONDS. A GPU that waits for its launches takes 4,000 tokens in hardly more time than
400, so more is tried even where a stall is near.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

LONGEST_SECONDS = 0.5
AIM = 0.8  # of the longest: times scatter
PIECE_SECONDS = 0.03
BRIEF_STEPS = 2
GROUP_SECONDS = 0.1
SHORT_SECONDS = 0.15
SHORT_STEPS = 4
OWED_STEPS = 5
FEWEST_TOKENS = 4
REMEMBERED = 4
GROWTH = 4
IDLE_FACTOR = 4
GROUP_FACTOR = 2
MORE = 2  # times as many tokens as were seen take at most as many times as long
MUCH_SOONER = 0.85
STALL_SECONDS = 0.025
LONGEST_STRETCH = 16
TRIAL_WAIT = 64
SMOOTHING = 0.2


def chunk_seconds(layers: int) -> float:
    """What a chunk may take through so many layers."""
    return min(LONGEST_SECONDS * AIM, PIECE_SECONDS * layers)


class Allowance:
    """How many tokens of one prefill fit into a chunk of so many seconds; later tokens of a prefill cost more than
    early ones."""

    def __init__(self, tokens: int, seconds: float = LONGEST_SECONDS * AIM) -> None:
        self.tokens = max(FEWEST_TOKENS, tokens)
        self._seconds = seconds

    def seconds(self, tokens: int) -> float:
        """What a chunk of so many tokens is expected to take."""
        return tokens / self.tokens * self._seconds

    def note(self, tokens: int, seconds: float) -> None:
        """A chunk of so many tokens took so long."""
        fitting = int(tokens * self._seconds / max(seconds, 1e-6))
        if fitting < self.tokens:
            # A GPU compiles kernels for a shape that it has not met: no chunk says more than that half is enough.
            self.tokens = max(FEWEST_TOKENS, fitting, self.tokens // 2)
        elif 2 * tokens >= self.tokens:  # a small chunk says little of what a large one costs
            self.tokens = min(fitting, GROWTH * self.tokens)


class Freshest:
    """How many tokens of a prefill that begins now fit into a chunk of so many seconds: the best of what the last ones
    showed."""

    def __init__(self, tokens: int, seconds: float = LONGEST_SECONDS * AIM) -> None:
        self.seconds = seconds
        self._fitting: deque[int] = deque([max(FEWEST_TOKENS, tokens)], maxlen=REMEMBERED)

    @property
    def tokens(self) -> int:
        return max(self._fitting)

    def note(self, tokens: int, seconds: float) -> None:
        """A first chunk of so many tokens took so long."""
        fitting = int(tokens * self.seconds / max(seconds, 1e-6))
        if fitting < self.tokens or 2 * tokens >= self.tokens:
            self._fitting.append(max(FEWEST_TOKENS, min(fitting, GROWTH * self.tokens)))


class Timings:
    """What chunks took, by their size: on a GPU one of 2,000 tokens may take as long as one of 200."""

    def __init__(self) -> None:
        self._noted: dict[int, deque[tuple[float, int]]] = {}

    def note(self, tokens: int, seconds: float) -> None:
        """A chunk of so many tokens took so long."""
        self._noted.setdefault(tokens.bit_length(), deque(maxlen=REMEMBERED)).append((seconds, tokens))

    def seconds(self, tokens: int) -> float:
        """The best that was seen of chunks that are not much smaller, or in proportion of those that have half as many
        at least; infinity where there were none. The best, for a GPU compiles kernels for a shape that it has not
        met."""
        alike = [min(noted)[0] for size, noted in self._noted.items() if size >= tokens.bit_length()]
        fewer = [took * tokens / seen for took, seen in self._best() if seen < tokens <= MORE * seen]
        return min([*alike, *fewer], default=float("inf"))

    def within(self, seconds: float) -> int:
        """About the most tokens of a chunk that takes no longer at its best; 0 where none was seen."""
        fitting = (int(seen * min(MORE, seconds / max(took, 1e-6))) for took, seen in self._best() if took <= seconds)
        return max(fitting, default=0)

    def _best(self) -> list[tuple[float, int]]:
        """Of each size the shortest time, and the tokens of that chunk."""
        return [min(noted) for noted in self._noted.values()]


@dataclass(frozen=True)
class Share:
    """What a step has of prompts: `tokens` of a `budget`, where so many layers of a chunk count as so many tokens.
    `longer`: a part of a prompt that is not short was computed since the last step, or is in this one; `beside`: one of
    any prompt."""

    tokens: int = 0
    budget: int = 0
    longer: bool = False
    beside: bool = False


class Pace:
    """`tokens_per_step` is configured; `fresh` is what a prefill may take that begins now, by the `rate` of tokens a
    second at first, through so many `layers`. `blocking`: the device computes in the time of its launches."""

    def __init__(
        self,
        tokens_per_step: int,
        rate: float,
        layers: int,
        timings: Timings | None = None,
        *,
        blocking: bool = False,
    ) -> None:
        self._tokens_per_step = tokens_per_step
        seconds = chunk_seconds(layers)
        self.fresh = Freshest(int(rate * seconds), seconds)
        self.timings = timings or Timings()
        self.blocking = blocking
        self.stretch = 1
        self.longest = 0.0
        self._stalled = False
        self._wait = 0
        self._plain: float | None = None
        self._owed = 0.0

    def budget(self, decoding: int, *, several: bool = False) -> int:
        """The most tokens of prefill for the next step, whatever a prefill's own allowance is. `several`: of prompts
        that are read to their ends in it, so that nobody waits for the rest of one; as many as are read at once."""
        idle = IDLE_FACTOR * (GROUP_FACTOR if several else 1)
        least = self._tokens_per_step * max(self.stretch, 1 if decoding else idle)
        if not several:
            return least
        brief = self.brief(decoding=decoding > 0, several=True)
        within = min(self.whole, self.timings.within(brief))
        return min(least, max(within, int(self.rate * brief))) if self.blocking else max(least, within)

    @property
    def rate(self) -> float:
        """About how many tokens a second of a prompt that begins now."""
        return self.fresh.tokens / self.fresh.seconds

    @property
    def whole(self) -> int:
        """The most tokens of a chunk that is computed in pieces."""
        return self._tokens_per_step * LONGEST_STRETCH

    def together(self, tokens: int, more: int) -> bool:
        """Whether so many tokens of prompts and so many more had better be read at once, by what was seen: that is soon
        done, and much sooner than one after the other, which launches take most of the time of."""
        seconds = self.timings.seconds
        at_once = seconds(tokens + more)
        return at_once <= GROUP_SECONDS and at_once < MUCH_SOONER * (seconds(tokens) + seconds(more))

    def piece(self, *, decoding: bool, short: bool = False) -> float:
        """Seconds that a piece of a chunk may take; `short`: of prompts to which those who decode give way."""
        if not decoding or self._plain is None:
            return PIECE_SECONDS
        return min(max(PIECE_SECONDS, SHORT_STEPS * self._plain) if short else self._plain, LONGEST_SECONDS * AIM)

    def brief(self, *, decoding: bool, several: bool = False) -> float:
        """Seconds of what is left of a prompt that is read at once, or of `several`."""
        least = GROUP_SECONDS if several and not self.blocking else PIECE_SECONDS
        return max(least, BRIEF_STEPS * (self._plain or 0.0)) if decoding else least

    @property
    def owed(self) -> bool:
        """Whether those who decode are to have the next step for themselves."""
        return self._owed > 0

    def note_step(self, seconds: float, *, decoding: int, share: Share) -> None:
        """One step took this long, beside so many decoding rows."""
        self.longest = max(seconds, 0.9 * self.longest)
        if not decoding:
            self._owed = 0.0
            return
        if self._plain is not None:
            # What took longer than a piece and OWED_STEPS were kernels that a GPU compiled: not for them to wait for.
            extra = min(seconds - self._plain, PIECE_SECONDS + OWED_STEPS * self._plain) if share.longer else 0.0
            self._owed = max(0.0, self._owed + extra - self._plain)
        if not (share.tokens or share.longer or share.beside):
            self._plain = seconds if self._plain is None else self._plain + SMOOTHING * (seconds - self._plain)
        elif share.tokens and self._plain is not None:
            self._judge(seconds - self._plain, full=2 * share.tokens >= share.budget)

    def _judge(self, extra: float, *, full: bool) -> None:
        """A step with prefill took so much longer than one without. A single stall proves nothing: a GPU compiles
        kernels for a shape that it has not met. After two, more is tried again only when TRIAL_WAIT steps have gone."""
        stalled, self._stalled = self._stalled, extra > STALL_SECONDS
        self._wait = max(0, self._wait - 1)
        if self._stalled and stalled:
            self.stretch = max(1, self.stretch // 2)
            self._stalled, self._wait = False, TRIAL_WAIT
        elif full and (extra < STALL_SECONDS / 2 or not (self._stalled or self._wait)):
            self.stretch = min(LONGEST_STRETCH, 2 * self.stretch)

    def without_decoding(self, seconds: float, steps: int) -> float:
        """What is left of a time in which so many decode steps ran too."""
        return max(seconds - steps * (self._plain or 0.0), seconds / 4)
