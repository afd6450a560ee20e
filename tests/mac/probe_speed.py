"""Decoding speed by the length of what came before, with one stream and with two.

usage: probe_speed.py [--model NAME] [--lengths TOKENS …]
Until lately steps were launched late from a size of cache on (128 MiB on Metal, some 900 tokens of a model with 8
billion parameters), which would show as a step here. Status 1 when a rate is less than four fifths of the one before.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mac.trial import Trial, words

LENGTHS = (200, 500, 800, 1000, 1500, 2500)
TOKENS = 64
ROUNDS = 3
LEAST = 0.8


def rate(trial: Trial, model: str, length: int, streams: int, round_: int) -> float:
    """Tokens a second of all streams together."""
    with ThreadPoolExecutor(streams) as pool:
        prompts = [words(length * 3 // 4, seed=round_ * 1000 + length * 10 + n) for n in range(streams)]
        answers = list(pool.map(lambda prompt: trial.stream(model, prompt, TOKENS), prompts))
    return sum(answer.rate for answer in answers if answer is not None)


def drops(rates: Mapping[int, float]) -> list[str]:
    """Where the speed falls by more than a fifth from one length to the next."""
    pairs = zip(rates.items(), list(rates.items())[1:], strict=False)
    return [
        f"from {short} to {long} tokens the speed falls from {fast:.1f} to {slow:.1f} tokens/s"
        for (short, fast), (long, slow) in pairs
        if slow < LEAST * fast
    ]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="starter")
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    given = parser.parse_args(arguments)
    problems: list[str] = []
    with Trial() as trial:
        model = trial.pull(given.model)
        lengths = [length for length in given.lengths if length * 2 + TOKENS < trial.context(model)]
        trial.stream(model, words(50, 1), TOKENS)
        print(f"{model}, tokens/s, median of {ROUNDS}")
        print("words of prompt  " + " ".join(f"{length:>8}" for length in lengths))
        for streams in (1, 2):
            rates = {
                length: statistics.median(rate(trial, model, length, streams, n + streams * 10) for n in range(ROUNDS))
                for length in lengths
            }
            print(f"{streams} streams" + " " * 8 + " ".join(f"{value:8.1f}" for value in rates.values()))
            problems += drops(rates)
    print("\n".join(f"PROBLEM: {each}" for each in problems) or "no problem")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
