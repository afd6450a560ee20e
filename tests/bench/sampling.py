"""What drawing a step's tokens costs, for rows that ask for different things; logits are normal, three wide.

usage: sampling.py [--rows 8] [--vocabulary 151936] [--rounds 7]

The best of the rounds counts: whatever else the machine does only adds.
"""

from __future__ import annotations

import argparse
import time

import mlx.core as mx

from mlx_serve.daemon.engine.generate.sampling.draw import Draw
from mlx_serve.daemon.engine.generate.sampling.sampler import Sampler

GREEDY = Draw(temperature=0.0)
KINDS = {
    "temperature 1": Draw(),
    "temperature 1, top_p 0.95": Draw(top_p=0.95),
    "temperature 0.8, top_k 40, top_p 0.9": Draw(temperature=0.8, top_k=40, top_p=0.9),
    "temperature 1, min_p 0.05": Draw(min_p=0.05),
    "greedy, frequency_penalty 0.5": Draw(temperature=0.0, frequency_penalty=0.5),
}


def milliseconds(draws: list[Draw], vocabulary: int, rounds: int) -> float:
    sampler = Sampler(vocabulary)
    sampler.place(draws, [[] for _ in draws])
    logits = mx.random.normal((len(draws), vocabulary), key=mx.random.key(5)) * 3
    mx.eval(logits)
    best = float("inf")
    for step in range(rounds):
        began = time.perf_counter()
        mx.eval(sampler.sample(logits, [step] * len(draws)).tokens)
        best = min(best, time.perf_counter() - began)
    return best * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--vocabulary", type=int, default=151936)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    count, size = options.rows, options.vocabulary
    print(f"{count} rows, {size} tokens, {mx.default_device()}: ms a step")
    print(f"{milliseconds([GREEDY] * count, size, options.rounds):8.1f}  all greedy")
    for name, draw in KINDS.items():
        one = milliseconds([GREEDY] * (count - 1) + [draw], size, options.rounds)
        every = milliseconds([draw] * count, size, options.rounds)
        print(f"{one:8.1f}  one row {name}, the others greedy")
        print(f"{every:8.1f}  every row {name}")


if __name__ == "__main__":
    main()
