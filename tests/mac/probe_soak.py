"""Two streams with prompts of changing length, some left early, while wired memory is watched.

usage: probe_soak.py [--model NAME] [--minutes N]
Status 1 for a failed answer, a daemon that has ended, or memory that does not come back.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mac.system_memory import Sample, sample
from mac.trial import Trial, TrialFailed, words

STREAMS = 2
LEAVES = 0.2
"""The share of answers whose client goes early, so that caches are freed in the middle."""
MARGIN = 1 << 30
SETTLE_SECONDS = 30.0


class Traffic:
    """One client that asks again and again until `stop` is set."""

    def __init__(self, trial: Trial, model: str, seed: int, longest: int, stop: threading.Event) -> None:
        self._trial, self._model, self._longest, self._stop = trial, model, longest, stop
        self._random = random.Random(seed)
        self._seed = seed
        self.answers = self.left = self.tokens = 0
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._stop.is_set() and len(self.failures) < 5:
            leave = self._random.randrange(2, 20) if self._random.random() < LEAVES else 0
            count = int(self._longest ** self._random.uniform(0.5, 1.0))
            prompt = words(count, self._seed * 100_000 + self.answers + self.left)
            try:
                done = self._trial.stream(self._model, prompt, self._random.randrange(16, 160), leave_after=leave)
            except TrialFailed as error:
                self.failures.append(str(error))
                continue
            if done is None:
                self.left += 1
            else:
                self.answers += 1
                self.tokens += done.tokens


def verdict(before: Sample, during: Sequence[Sample], after: Sample) -> list[str]:
    """What is wrong with the memory, in sentences."""
    found = []
    rise = max(each.wired for each in during) - before.wired
    most = max(each.held for each in during)
    if rise > most + MARGIN:
        found.append(f"wired memory rose by {rise / 1e9:.2f} GB while all processes held {most / 1e9:.2f} GB")
    if after.wired > before.wired + MARGIN:
        found.append(f"after unloading, {(after.wired - before.wired) / 1e9:.2f} GB more are wired than before")
    if any(each.pressure >= 4 for each in during):
        found.append("memory pressure became critical")
    return found


def table(before: Sample, during: Sequence[Sample], after: Sample) -> str:
    lines = [f"{'GB':>16} {'before':>8} {'median':>8} {'most':>8} {'after':>8}"]
    for name in ("wired", "free", "held"):
        values = [getattr(each, name) for each in during]
        row = (getattr(before, name), statistics.median(values), max(values), getattr(after, name))
        lines.append(f"{name:>16} " + " ".join(f"{value / 1e9:8.2f}" for value in row))
    lines.append(f"pressure: {max(each.pressure for each in during)} at most (1 normal, 2 warning, 4 critical)")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="starter")
    parser.add_argument("--minutes", type=float, default=10)
    given = parser.parse_args(arguments)
    with Trial() as trial:
        model = trial.pull(given.model)
        pid, before = trial.pid, sample(trial.pid)
        stop = threading.Event()
        longest = min(trial.context(model) // 3, 3000)
        clients = [Traffic(trial, model, seed, longest, stop) for seed in range(1, STREAMS + 1)]
        threads = [threading.Thread(target=client.run) for client in clients]
        for thread in threads:
            thread.start()
        during: list[Sample] = []
        deadline = time.monotonic() + given.minutes * 60
        while not during or (time.monotonic() < deadline and any(thread.is_alive() for thread in threads)):
            time.sleep(0.5)
            during.append(sample(pid))
        stop.set()
        for thread in threads:
            thread.join()
        trial.command("unload", model, "--port", str(trial.port))
        after = sample(pid)
        until = time.monotonic() + SETTLE_SECONDS
        while verdict(before, during, after) and time.monotonic() < until:
            time.sleep(1)
            after = sample(pid)
        problems = [*verdict(before, during, after), *(each for client in clients for each in client.failures)]
        problems += trial.complaints()
        if trial.pid != pid:
            problems.append("the daemon is another one")
    answers, left, tokens = (sum(getattr(each, name) for each in clients) for name in ("answers", "left", "tokens"))
    print(f"{model}: {answers} answers with {tokens} tokens, {left} left early, {len(during)} looks at the memory")
    print(table(before, during, after))
    if not answers:
        problems.append("no answer came to its end")
    print("\n".join(f"PROBLEM: {each}" for each in problems) or "no problem")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
