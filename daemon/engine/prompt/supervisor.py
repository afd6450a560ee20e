"""The prompt process: hands jobs to workers, ends those that take too long, and never looks into a prompt itself."""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from typing import Protocol

import msgspec

from ...protocol import RejectCode, Rejected
from ..cpu.cores import usable
from .forked import Forked, Task
from .prompt_frames import Drop, FromWorker, Note, PromptJob, body, receive, send
from .worker import Preparer, grammar_refused, out_of_memory

_CORES = usable()
MOST_WORKERS = max(4, min(8, _CORES // 2))
MOST_LARGE = 2
LARGE = 1 << 20
"""A job of so many bytes is large: two at once, so that there are workers for the others."""
MANY_CORES = 8
FORK_SECONDS = 0.02 if _CORES >= MANY_CORES else 0.05
FORK_BYTES = 1 << 17 if _CORES >= MANY_CORES else None
"""Of the jobs that wait, for each worker: where they have more, another one is forked at once. A fork takes about as
long as preparing some thousands of words."""
CANCEL_SECONDS = 0.1
IDLE_SECONDS = 10.0
LOOK_SECONDS = 0.05

_from_engine: msgspec.msgpack.Decoder[PromptJob | Drop] = msgspec.msgpack.Decoder(PromptJob | Drop)
_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)


class Asker(Protocol):
    """Who has jobs for the process."""

    socket: socket.socket

    def take(self) -> list[PromptJob | Drop] | None:
        """The next message's; None where the other end is gone."""

    def answer(self, result: bytes) -> None:
        """`result` is a Result on the wire. Raises OSError where nobody listens."""


class Engine:
    """The engine of a loaded model, which started this process."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock

    def take(self) -> list[PromptJob | Drop] | None:
        frame = receive(self.socket)
        return None if frame is None else [_from_engine.decode(frame)]

    def answer(self, result: bytes) -> None:
        send(self.socket, result)


class Supervisor:
    """One worker is always there; another is forked when a job has waited a moment, or many large ones wait."""

    def __init__(self, asker: Asker, prompts: Preparer) -> None:
        self._asker = asker
        self._prompts = prompts
        self._waiting: deque[tuple[PromptJob, float]] = deque()
        self._workers: list[Forked] = []

    def run(self) -> None:
        """Returns when the asker is gone."""
        try:
            self._serve()
        except ConnectionError:
            return
        finally:
            for worker in list(self._workers):
                self._end(worker)

    def _serve(self) -> None:
        self._fork(time.monotonic())
        while True:
            sockets = {worker.socket: worker for worker in self._workers}
            ready, _, _ = select.select([self._asker.socket, *sockets], [], [], self._rest(time.monotonic()))
            for sock in ready:
                if sock is not self._asker.socket:
                    self._hear(sockets[sock])
                elif not self._take():
                    return
            self._end_late_ones(time.monotonic())
            self._hand_out(time.monotonic())

    # what comes in

    def _take(self) -> bool:
        messages = self._asker.take()
        for message in messages or ():
            match message:
                case PromptJob() as job:
                    self._waiting.append((job, time.monotonic()))
                case Drop(id=number):
                    self._waiting = deque(each for each in self._waiting if each[0].id != number)
                    for worker in self._workers:
                        if worker.task is not None and worker.task.job.id == number:
                            worker.task.ends = time.monotonic() + CANCEL_SECONDS
        return messages is not None

    def _hear(self, worker: Forked) -> None:
        if worker not in self._workers:
            return
        frame = receive(worker.socket)
        if frame is None:
            self._lose(worker)
            return
        now, task = time.monotonic(), worker.task
        message = _from_worker.decode(frame)
        if isinstance(message, Note):
            if task is not None and message.grammar:
                task.compiles(message.grammar, now, worker.used)
            elif task is not None:
                task.works_on(message, now, worker.used)
            return
        if task is not None and task.ends is None:
            self._asker.answer(bytes(message.result))
        worker.task, worker.idle_since = None, now
        if message.ends:
            self._end(worker)

    # who works

    def _hand_out(self, now: float) -> None:
        for job, since in list(self._waiting):
            if len(job.work) > LARGE and self._large >= MOST_LARGE:
                continue
            worker = next((each for each in self._workers if each.task is None), None)
            if worker is None and self._may_fork(now - since):
                worker = self._fork(now)
            if worker is None:
                break
            try:
                worker.begin(job, now)
            except OSError:  # it ended while it had nothing to do
                self._end(worker)
                break
            self._waiting.remove((job, since))
        if not self._workers:
            self._fork(now)

    def _may_fork(self, waited: float) -> bool:
        if not self._workers:
            return True
        return len(self._workers) < MOST_WORKERS and (waited >= FORK_SECONDS or self._crowded)

    @property
    def _crowded(self) -> bool:
        """Whether those who are there would take longer for what waits than another one takes to come."""
        waiting = sum(len(job.work) for job, _ in self._waiting)
        return FORK_BYTES is not None and waiting > FORK_BYTES * len(self._workers)

    @property
    def _large(self) -> int:
        return sum(worker.task is not None and len(worker.task.job.work) > LARGE for worker in self._workers)

    def _fork(self, now: float) -> Forked | None:
        try:
            worker = Forked(self._prompts, [self._asker.socket, *(each.socket for each in self._workers)])
        except OSError as error:
            while not self._workers and self._waiting:
                job, _ = self._waiting.popleft()
                message = f"the prompt could not be prepared: the system starts no process for it ({error.strerror})"
                self._answer(Rejected(id=job.id, code="internal_error", message=message))
            return None
        worker.idle_since = now
        self._workers.append(worker)
        return worker

    # who must end

    def _end_late_ones(self, now: float) -> None:
        for worker in list(self._workers):
            task = worker.task
            if task is None:
                if len(self._workers) > 1 and now - worker.idle_since >= IDLE_SECONDS:
                    self._end(worker)
            elif task.ends is not None:
                if now >= task.ends:
                    self._end(worker)
            elif now >= task.deadline and task.is_late(now, worker.used):
                self._end(worker)
                self._answer(_too_late(task))
            elif worker.too_large:
                self._end(worker)
                self._answer(_too_large(task))

    def _end(self, worker: Forked) -> str:
        self._workers.remove(worker)
        return worker.end()

    def _lose(self, worker: Forked) -> None:
        """It has ended by itself; a library that finds no memory does so."""
        reason, task = self._end(worker), worker.task
        if task is not None and task.ends is None:
            self._answer(_too_large(task) if reason == "SIGABRT" else _broken(task, reason))

    def _answer(self, rejected: Rejected) -> None:
        self._asker.answer(body(rejected))

    def _rest(self, now: float) -> float | None:
        """How long nothing has to be looked at, in seconds; None: until something arrives."""
        if self._waiting or any(worker.task is not None for worker in self._workers):
            return LOOK_SECONDS
        if len(self._workers) > 1:
            return max(0.0, IDLE_SECONDS - (now - min(worker.idle_since for worker in self._workers)))
        return None


def _too_large(task: Task) -> Rejected:
    if task.grammar:
        return grammar_refused(task.job, task.grammar, "compiling it takes more memory than a prompt may")
    return out_of_memory(task.job, pictures=bool(task.pixels or task.kept))


def _too_late(task: Task) -> Rejected:
    if task.grammar:
        return grammar_refused(task.job, task.grammar, f"compiling it took longer than {task.seconds:.0f} s")
    if task.pixels:
        message = f"reading a picture of {task.pixels} pixels took longer than {task.seconds:.0f} s: send a smaller one"
        return Rejected(id=task.job.id, code="invalid_request", message=message, param="messages")
    if task.text:
        message = f"tokenizing {task.text} bytes took longer than {task.seconds:.0f} s: shorten the input"
        return Rejected(id=task.job.id, code="invalid_request", message=message, param=task.job.param)
    if task.job.chat:
        message = f"the chat template took longer than {task.seconds:.0f} s on these messages"
        return Rejected(id=task.job.id, code="template_error", message=message, param="messages")
    message = f"preparing the prompt took longer than {task.seconds:.0f} s"
    return Rejected(id=task.job.id, code="invalid_request", message=message, param=task.job.param)


def _broken(task: Task, reason: str) -> Rejected:
    job = task.job
    if task.grammar:
        return grammar_refused(job, task.grammar, f"it is too complex; the process that compiled it ended ({reason})")
    message = f"the prompt could not be prepared: the process that did so ended ({reason})"
    code: RejectCode = "template_error" if job.chat else "invalid_request"
    return Rejected(id=job.id, code=code, message=message, param=job.param)
