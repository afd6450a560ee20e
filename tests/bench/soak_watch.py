"""What the soak looks at beside the answers: memory, files, descriptors and processor time of a daemon's processes.

Judgements are arithmetic on plain samples, so that they are tested without a daemon.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import statistics
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_FIGURE = re.compile(r"^mlx_serve_model_(\w+)\{[^}]*\} (\S+)$", re.MULTILINE)
_PART = 10  # of the samples after warm-up: the first and the last ones are compared
LEAST_GROWTH = 8e6
MOST_GROWTH = 0.05
MOST_DESCRIPTORS = 2


@dataclass(frozen=True)
class Sample:
    """At `seconds` after the beginning. `daemon`, `runner`: resident bytes; `held`: what the daemon counts of the
    model's `share`; `prefixes`: bytes that the cache says it holds in memory; `files`: bytes of all files."""

    seconds: float
    daemon: int
    runner: int
    held: int
    share: int
    prefixes: int
    files: int
    daemon_descriptors: int
    runner_descriptors: int


@dataclass(frozen=True)
class Growth:
    """Of a series after warm-up: medians of its first and last tenth, its least-squares slope an hour, its most."""

    first: float
    last: float
    an_hour: float
    most: float

    @classmethod
    def of(cls, seconds: Sequence[float], values: Sequence[float]) -> Growth:
        part = max(1, len(values) // _PART)
        slope = statistics.linear_regression(seconds, values).slope if len(set(seconds)) > 1 else 0.0
        return cls(statistics.median(values[:part]), statistics.median(values[-part:]), 3600 * slope, max(values))

    @property
    def leaks(self) -> bool:
        """Of bytes: more than noise lies between the beginning and the end."""
        return self.last - self.first > max(LEAST_GROWTH, MOST_GROWTH * self.first)


def faults(samples: Sequence[Sample], memory: int, disk: int, warm: float) -> list[str]:
    """What is wrong with these samples, a sentence each. `memory` and `disk` bytes are the limits; of growth before
    `warm` seconds nothing is said."""
    found = []
    if over := [one for one in samples if one.prefixes > memory]:
        found.append(f"the cache held {max(one.prefixes for one in over)} bytes of {memory}")
    if over := [one for one in samples if one.files > disk]:
        found.append(f"files had {max(one.files for one in over)} bytes of {disk}")
    if over := [one for one in samples if one.held > one.share]:
        found.append(f"the model's process held {max(one.held for one in over)} bytes of {over[0].share}")
    for name, growth in growths(samples, warm).items():
        if name.endswith("descriptors"):
            if abs(growth.last - growth.first) > MOST_DESCRIPTORS:
                found.append(f"{name} went from {growth.first:.0f} to {growth.last:.0f}")
        elif growth.leaks:
            found.append(f"{name} grew from {growth.first / 1e6:.1f} to {growth.last / 1e6:.1f} MB")
    return found


def growths(samples: Sequence[Sample], warm: float) -> dict[str, Growth]:
    """Of each series that must not grow, after so many seconds."""
    late = [one for one in samples if one.seconds >= warm]
    if not late:
        return {}
    names = ("daemon", "runner", "daemon_descriptors", "runner_descriptors")
    return {name: Growth.of([one.seconds for one in late], [getattr(one, name) for one in late]) for name in names}


class Watch:
    """Of one daemon that has one model: its process, the model's, and the files of prompts below `prompts`."""

    def __init__(self, url: str, pid: int, runner: int, prompts: Path) -> None:
        self._url = url
        self._daemon = psutil.Process(pid)
        self._runner = psutil.Process(runner)
        self._prompts = prompts
        self.figures: dict[str, float] = {}

    def sample(self, seconds: float) -> Sample:
        """Raises psutil.NoSuchProcess where one of the processes has ended."""
        with urllib.request.urlopen(f"{self._url}/metrics", timeout=60) as answer:
            self.figures = {name: float(value) for name, value in _FIGURE.findall(answer.read().decode())}
        return Sample(
            seconds,
            self._daemon.memory_info().rss,
            self._runner.memory_info().rss,
            int(self.figures["memory_bytes"]),
            int(self.figures["memory_share_bytes"]),
            int(self.figures["prefix_memory_bytes"]),
            file_bytes(self._prompts),
            self._daemon.num_fds(),
            self._runner.num_fds(),
        )


def file_bytes(root: Path) -> int:
    """Of all files of prompts, as nobody makes room or writes a new one meanwhile."""
    if not root.is_dir():
        return 0
    descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    total = 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for path in root.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                total += path.lstat().st_size
    finally:
        os.close(descriptor)
    return total


def processor_seconds(pids: Sequence[int]) -> float:
    """Of these processes and all that they have begun."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            whole = psutil.Process(pid)
            for one in (whole, *whole.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    times = one.cpu_times()
                    total += times.user + times.system
    return total
