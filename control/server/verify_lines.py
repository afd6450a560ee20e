"""The lines of a verification: progress, a result for every file, then the totals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial

from ...daemon.tasks.shared_task import SharedTask, in_thread
from ...store.store import Store
from .response_bodies import VerifyLine


def verify_lines(store: Store, name: str | None) -> AsyncIterator[VerifyLine]:
    """Closing the iterator ends the verification."""

    def verify(report: Callable[[VerifyLine], None]) -> VerifyLine:
        files = bad = 0

        def report_bytes(done: int, total: int) -> None:
            report(VerifyLine(status="verifying", completed=done, total=total))

        for each in store.verify(name, report_bytes):
            files, bad = files + 1, bad + (not each.ok)
            report(
                VerifyLine(
                    status="verifying",
                    name=each.name,
                    path=each.path,
                    digest=each.digest,
                    completed=each.done_bytes,
                    total=each.total_bytes,
                    ok=each.ok,
                    problem=each.problem,
                )
            )
        return VerifyLine(status="done", files=files, bad=bad)

    work: SharedTask[VerifyLine, VerifyLine] = SharedTask(
        lambda report: in_thread(partial(verify, report), "verify"), lambda line: (line.name, line.path, line.digest)
    )
    return work.follow()
