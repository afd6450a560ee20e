"""So many streams at once, and what they come to. The arithmetic is pure."""

from __future__ import annotations

import queue
import statistics
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .stream_timing import BenchFailed, Endpoint, Timing, stream

_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Level:
    """`streams` answers at once. Milliseconds to the first token (the median, and the last stream's); tokens a second:
    of the prompts until the last first token, of all answers together, and of each."""

    streams: int
    prompt_tokens: float
    tokens: int
    first_ms: float
    first_most_ms: float
    prefill: float
    decode: float
    each: float


def summed(timings: Sequence[Timing]) -> Level:
    """A prompt's tokens that were not read do not count as read; the first token of an answer is the prompt's."""
    began = min(each.started for each in timings)
    waits = [each.first - each.started for each in timings]
    read = sum(each.prompt - each.cached for each in timings)
    first, last = min(each.first for each in timings), max(each.last for each in timings)
    own = [_rate(each.tokens - 1, each.last - each.first) for each in timings]
    return Level(
        streams=len(timings),
        prompt_tokens=statistics.median(each.prompt for each in timings),
        tokens=sum(each.tokens for each in timings),
        first_ms=1000 * statistics.median(waits),
        first_most_ms=1000 * max(waits),
        prefill=_rate(read, max(each.first for each in timings) - began),
        decode=_rate(sum(each.tokens - 1 for each in timings), last - first),
        each=statistics.median(own),
    )


def together(
    endpoint: Endpoint, model: str, prompts: Sequence[str], tokens: int, progress: Callable[[int], None]
) -> list[Timing]:
    """One stream a prompt, all begun at once; `progress` gets the number of pieces so far. Raises BenchFailed for the
    first that fails; KeyboardInterrupt leaves the others to end with the process."""
    results: queue.SimpleQueue[Timing | Exception] = queue.SimpleQueue()
    pieces: list[None] = []
    gate = threading.Barrier(len(prompts))

    def one(prompt: str) -> None:
        try:
            gate.wait()
            results.put(stream(endpoint, model, prompt, tokens, lambda: pieces.append(None)))
        except Exception as error:
            results.put(error)

    for prompt in prompts:
        threading.Thread(target=one, args=(prompt,), daemon=True).start()
    timings: list[Timing] = []
    while len(timings) < len(prompts):
        try:
            found = results.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            progress(len(pieces))
            continue
        if isinstance(found, BenchFailed):
            raise found
        if isinstance(found, Exception):
            raise BenchFailed(f"{type(found).__name__}: {found}") from found
        timings.append(found)
    return timings


def _rate(count: float, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0
