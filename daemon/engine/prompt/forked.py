"""One worker as the prompt process sees it: its process, its socket, and the job it is at."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from ..process import die_with_parent
from .deadline import DEADLINE_SECONDS, GRAMMAR_SECONDS, MOST_WAITS, seconds_for
from .memory_bound import allowance, resident
from .prompt_frames import Note, PromptJob, body, send
from .worker import Preparer, PromptWorker

WORKED = 0.9
"""A worker that had the processor for this part of its seconds was not kept waiting by others."""


@dataclass
class Task:
    """A job that a worker is at. Times as `time.monotonic` gives them; `text`: the size of what is being tokenized,
    `pixels`: that of the picture that is being read, `kept`: bytes of those that were, `grammar`: the field that has
    the grammar that is being compiled; `used`: what its worker had had of the processor when `seconds` began."""

    job: PromptJob
    deadline: float
    used: float = 0.0
    seconds: float = DEADLINE_SECONDS
    text: int = 0
    pixels: int = 0
    kept: int = 0
    grammar: str = ""
    ends: float | None = None
    """When a cancelled one is ended."""

    def compiles(self, grammar: str, now: float, used: float) -> None:
        self.grammar = grammar
        self._has(GRAMMAR_SECONDS, now, used)

    def works_on(self, note: Note, now: float, used: float) -> None:
        self.text, self.pixels, self.kept = max(self.text, note.size), note.pixels, max(self.kept, note.kept)
        self._has(seconds_for(note.size, note.pixels), now, used)

    def _has(self, seconds: float, now: float, used: float) -> None:
        self.seconds, self.used, self.deadline = seconds, used, now + seconds

    def is_late(self, now: float, used: float) -> bool:
        """`used`: what its worker has had of the processor by now. Where others kept it busy, the job has longer."""
        waited_longest = now >= self.deadline + (MOST_WAITS - 1) * self.seconds
        return waited_longest or (now >= self.deadline and used - self.used >= WORKED * self.seconds)


class Forked:
    """A worker process. Forked, not spawned: it starts in milliseconds and shares the vocabulary's memory."""

    def __init__(self, prompts: Preparer, others: Iterable[socket.socket]) -> None:
        """`others` are sockets that only this process has a use for. Raises OSError where there is no process left."""
        self.socket, theirs = socket.socketpair()
        for end in (self.socket, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        try:
            self.pid = os.fork()
        except OSError:
            self.socket.close()
            theirs.close()
            raise
        if self.pid == 0:
            _be_worker(theirs, prompts, (self.socket, *others))
        theirs.close()
        self._process = psutil.Process(self.pid)
        self.task: Task | None = None
        self.idle_since = 0.0
        self._resident = 0

    def begin(self, job: PromptJob, now: float) -> None:
        """Raises OSError where the worker is gone."""
        self.task = Task(job, now + DEADLINE_SECONDS, self.used)
        self._resident = resident(self.pid)
        send(self.socket, body(job))

    @property
    def used(self) -> float:
        """Seconds of the processor that it has had since it was forked."""
        try:
            times = self._process.cpu_times()
        except psutil.Error:  # it has ended, and its socket says so next
            return 0.0
        return times.user + times.system

    @property
    def too_large(self) -> bool:
        """Whether its job has taken more memory than it may."""
        task = self.task
        if task is None:
            return False
        return resident(self.pid) - self._resident > allowance(len(task.job.work), task.text, task.pixels, task.kept)

    def end(self) -> str:
        """Kill it where it lives, and say what ended it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.socket.close()
        _, status = os.waitpid(self.pid, 0)
        return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"status {status >> 8}"


def _be_worker(sock: socket.socket, prompts: Preparer, others: Iterable[socket.socket]) -> None:
    status = 1
    try:
        die_with_parent()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for each in others:
            each.close()
        with contextlib.suppress(ConnectionError):
            PromptWorker(sock, prompts).run()
        status = 0
    except BaseException as error:  # whatever it is, this process must not go on as its parent
        sys.stderr.write(f"a prompt worker ended with {type(error).__name__}\n")
        sys.stderr.flush()
    finally:
        os._exit(status)
