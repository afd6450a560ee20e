"""Whether the machine is kept from idle sleep while there is an answer, and only then. macOS only."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mac.trial import Trial, words

ENDS_WITHIN = 60.0


def assertions(text: str, pids: Sequence[int]) -> list[str]:
    """The lines of `pmset -g assertions` that are of caffeinate and name one of the processes."""
    marks = [f"pid {pid}(" for pid in pids]
    return [line.strip() for line in text.splitlines() if "caffeinate" in line and any(mark in line for mark in marks)]


def held() -> list[str]:
    text = subprocess.run(["pmset", "-g", "assertions"], capture_output=True, text=True, check=True).stdout
    found = subprocess.run(["pgrep", "-x", "caffeinate"], capture_output=True, text=True, check=False).stdout
    return assertions(text, [int(pid) for pid in found.split()])


def main() -> int:
    problems: list[str] = []
    with Trial() as trial:
        model = trial.pull("starter")
        before = held()
        stop = threading.Event()

        def ask() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                trial.stream(model, words(50, number), 200)

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(5)
        during = held()
        stop.set()
        thread.join()
        deadline = time.monotonic() + ENDS_WITHIN
        while len(held()) > len(before) and time.monotonic() < deadline:
            time.sleep(1)
        after = held()
    for name, lines in (("before", before), ("during", during), ("after", after)):
        print(f"{name}: {lines or 'none'}")
    if len(during) <= len(before):
        problems.append("no assertion while an answer runs")
    if len(after) > len(before):
        problems.append(f"the assertion is still there {ENDS_WITHIN:.0f} s after the last answer")
    print("\n".join(f"PROBLEM: {each}" for each in problems) or "no problem")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
