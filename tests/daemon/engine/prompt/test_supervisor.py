"""Which job goes to which worker, and when there is another worker: with workers that only note what they are given."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from mlx_serve.daemon.engine.prompt import supervisor as supervisor_module
from mlx_serve.daemon.engine.prompt.deadline import MOST_WAITS, seconds_for
from mlx_serve.daemon.engine.prompt.forked import Task
from mlx_serve.daemon.engine.prompt.memory_bound import allowance
from mlx_serve.daemon.engine.prompt.prompt_frames import Note, PromptJob, receive
from mlx_serve.daemon.engine.prompt.supervisor import FORK_SECONDS, LARGE, MOST_WORKERS, Engine, Supervisor
from mlx_serve.daemon.protocol import Rejected

Pair = tuple[socket.socket, socket.socket]


class Worker:
    def __init__(self, *_: Any) -> None:
        self.socket, self._theirs = socket.socketpair()
        self.task: Task | None = None
        self.idle_since = 0.0
        self.too_large = False
        self.used = 0.0

    def begin(self, job: PromptJob, now: float) -> None:
        self.task = Task(job, now + 5)

    def end(self) -> str:
        self.socket.close()
        self._theirs.close()
        return "SIGKILL"


@pytest.fixture
def ours_theirs() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def supervisor(ours_theirs: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    monkeypatch.setattr(supervisor_module, "Forked", Worker)
    made = Supervisor(Engine(ours_theirs[0]), None)  # type: ignore[arg-type]
    yield made
    for worker in list(made._workers):
        made._end(worker)


def job(number: int, size: int = 10) -> PromptJob:
    return PromptJob(id=number, chat=True, param="messages", work=msgspec.Raw(b"x" * size))


def at_work(supervisor: Supervisor) -> list[int]:
    return sorted(worker.task.job.id for worker in supervisor._workers if worker.task is not None)


def test_a_job_that_has_waited_a_moment_gets_a_worker_of_its_own(supervisor: Supervisor) -> None:
    """Up to so many; a burst of short prompts needs no more than one."""
    supervisor._waiting.extend((job(number), 100.0) for number in range(MOST_WORKERS + 2))
    supervisor._hand_out(100.0)
    assert at_work(supervisor) == [0]
    supervisor._hand_out(100.001 + FORK_SECONDS)
    assert at_work(supervisor) == list(range(MOST_WORKERS))
    supervisor._workers[1].task = None
    supervisor._hand_out(101.0)
    assert at_work(supervisor) == [0, 2, 3, 4]


def test_many_long_prompts_get_workers_at_once(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are cores for them, and as many as pay: 32 prompts of 3,000 words are not prepared one by one, and as
    many short ones are before another worker has begun."""
    monkeypatch.setattr(supervisor_module, "FORK_BYTES", 1 << 17)
    monkeypatch.setattr(supervisor_module, "MOST_WORKERS", 8)
    supervisor._waiting.extend((job(number, 300), 100.0) for number in range(32))
    supervisor._hand_out(100.0)
    assert at_work(supervisor) == [0]
    supervisor._waiting.clear()
    supervisor._waiting.extend((job(number, 20_000), 100.0) for number in range(1, 32))
    supervisor._hand_out(100.0)
    assert at_work(supervisor) == [0, 1, 2, 3, 4]


def test_few_cores_have_no_more_workers(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "FORK_BYTES", None)
    supervisor._waiting.extend((job(number, 20_000), 100.0) for number in range(32))
    supervisor._hand_out(100.0)
    assert at_work(supervisor) == [0]


def test_large_jobs_leave_workers_to_the_others(supervisor: Supervisor) -> None:
    supervisor._waiting.extend((job(number, LARGE + 1), 0.0) for number in range(3))
    supervisor._waiting.append((job(9), 0.0))
    supervisor._hand_out(100.0)
    assert at_work(supervisor) == [0, 1, 9]


def test_a_text_has_time_by_its_length(supervisor: Supervisor, ours_theirs: Pair) -> None:
    """From where it is tokenized on; the refusal says how long it was given."""
    supervisor._waiting.append((job(1), 0.0))
    supervisor._hand_out(100.0)
    (worker,) = supervisor._workers
    assert worker.task is not None
    worker.task.works_on(Note(size=1 << 20), 103.0, 0.0)
    supervisor._end_late_ones(103.0 + seconds_for(1 << 20) - 0.1)
    assert at_work(supervisor) == [1]
    worker.used = seconds_for(1 << 20)  # type: ignore[misc]
    supervisor._end_late_ones(103.0 + seconds_for(1 << 20))
    assert supervisor._workers == []
    frame = receive(ours_theirs[1])
    assert frame is not None
    rejected = msgspec.msgpack.decode(frame, type=Rejected)
    assert (rejected.code, rejected.param) == ("invalid_request", "messages")
    assert rejected.message.startswith("tokenizing 1048576 bytes took longer than 9 s")


def test_a_busy_machine_is_not_the_prompts_fault(supervisor: Supervisor) -> None:
    """A worker that others kept from the processor has longer, and in the end that is enough too."""
    supervisor._waiting.extend([(job(1), 0.0), (job(2), 0.0)])
    supervisor._hand_out(100.0)
    for worker in supervisor._workers:
        assert worker.task is not None
        worker.task.works_on(Note(size=1 << 20), 100.0, 7.0)
    seconds = seconds_for(1 << 20)
    supervisor._workers[0].used = 7.0 + seconds / 2  # type: ignore[misc]
    supervisor._workers[1].used = 7.0 + seconds  # type: ignore[misc]
    supervisor._end_late_ones(100.0 + seconds)
    assert at_work(supervisor) == [1]
    supervisor._end_late_ones(100.0 + MOST_WAITS * seconds - 0.1)
    assert at_work(supervisor) == [1]
    supervisor._end_late_ones(100.0 + MOST_WAITS * seconds)
    assert at_work(supervisor) == []


def test_pictures_have_time_and_room_by_their_pixels(supervisor: Supervisor, ours_theirs: Pair) -> None:
    """From where each is read on; a text after them has its own time again."""
    supervisor._waiting.append((job(1), 0.0))
    supervisor._hand_out(100.0)
    (worker,) = supervisor._workers
    task = worker.task
    assert task is not None
    task.works_on(Note(pixels=40_000_000, kept=1000), 103.0, 0.0)
    assert task.deadline == 103.0 + seconds_for(0, 40_000_000) == 103.0 + 15.0
    assert allowance(0, 0, task.pixels, task.kept) > allowance(0) + 40_000_000 * 16
    task.works_on(Note(size=1 << 20), 110.0, 0.0)
    assert task.deadline == 110.0 + seconds_for(1 << 20) and task.kept == 1000
    task.works_on(Note(pixels=40_000_000), 120.0, 0.0)
    worker.used = 15.0  # type: ignore[misc]
    supervisor._end_late_ones(135.0)
    frame = receive(ours_theirs[1])
    assert frame is not None
    rejected = msgspec.msgpack.decode(frame, type=Rejected)
    assert rejected.message == "reading a picture of 40000000 pixels took longer than 15 s: send a smaller one"


def test_a_worker_that_takes_too_much_memory_is_ended(supervisor: Supervisor, ours_theirs: Pair) -> None:
    """Where the system does not bound it."""
    supervisor._waiting.append((job(1), 0.0))
    supervisor._hand_out(100.0)
    supervisor._workers[0].too_large = True  # type: ignore[misc]
    supervisor._end_late_ones(100.1)
    frame = receive(ours_theirs[1])
    assert frame is not None
    assert "memory" in msgspec.msgpack.decode(frame, type=Rejected).message
    assert supervisor._workers == []


def test_workers_beyond_the_first_end_when_idle(supervisor: Supervisor) -> None:
    supervisor._waiting.extend((job(number), 0.0) for number in range(3))
    supervisor._hand_out(100.0)
    for worker in supervisor._workers:
        worker.task, worker.idle_since = None, 100.0
    assert supervisor._rest(104.0) == pytest.approx(6.0)
    supervisor._end_late_ones(110.0)
    assert len(supervisor._workers) == 1
    assert supervisor._rest(111.0) is None
