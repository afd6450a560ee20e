"""A child's log lines, its private folder, and that nothing of it is left after close."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
from pathlib import Path

import pytest
from support.runner_process import alive, ask, begun, listen, load, open_files, spawn, words
from support.streams import events_of
from support.waiting import GUARD

from mlx_serve.daemon.errors import RunnerDied
from mlx_serve.daemon.workers import runner
from mlx_serve.daemon.workers.runner import Runner


async def test_complaints_go_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mlx_serve.runner")
    one = await spawn("die")
    await asyncio.wait_for(one.dead.wait(), GUARD)
    assert "line=cannot import" in caplog.text


async def test_endless_lines_stop_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """A megabyte of progress bar without a line's end neither blocks the child nor fills the log."""
    caplog.set_level(logging.INFO, "mlx_serve.runner")
    one = await spawn("loud")
    await asyncio.wait_for(one.load(load("acme/model"), GUARD), GUARD)
    assert words(await listen(events_of(one, ask("complain")))) == ["heard"]
    await asyncio.wait_for(one.close(), GUARD)
    assert not alive(one.pid)
    assert len(caplog.text) < 100_000


async def test_a_private_folder_for_temporary_files(child: Runner) -> None:
    """Each child's own, for its owner only, and gone with it."""
    (folder,) = words(await listen(events_of(child, ask("where"))))
    assert Path(folder).is_dir()
    assert Path(folder).stat().st_mode & 0o777 == 0o700
    other = await spawn()
    (elsewhere,) = words(await listen(events_of(other, ask("where"))))
    assert elsewhere != folder
    await other.close()
    assert not Path(elsewhere).exists()


async def test_close_returns_when_the_process_is_gone(child: Runner) -> None:
    await asyncio.wait_for(child.close(), GUARD)
    assert not alive(child.pid)
    assert not child.alive
    await asyncio.wait_for(child.close(), GUARD)


async def test_closing_in_the_middle_of_requests(child: Runner) -> None:
    """Those who still listen are told."""
    stream = await begun(child, "wait")
    waiting = asyncio.ensure_future(listen(stream))
    await asyncio.sleep(0)
    await asyncio.wait_for(child.close(), GUARD)
    with pytest.raises(RunnerDied):
        await waiting


async def test_a_child_that_does_not_quit_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "QUIT_SECONDS", 0.2)
    one = await spawn()
    await one.load(load("acme/deaf"), GUARD)
    await asyncio.wait_for(one.close(), GUARD)
    assert not alive(one.pid)


async def test_closing_while_it_starts() -> None:
    one = await spawn()
    await asyncio.wait_for(one.close(), GUARD)
    assert not alive(one.pid)
    with pytest.raises(RunnerDied):
        await one.hello()


async def test_what_a_closed_child_had_said_before_is_no_sign_of_life() -> None:
    """On a busy machine its first frame may be there before it is ended."""
    one = await spawn()
    await asyncio.wait_for(one.hello(), GUARD)
    await asyncio.wait_for(one.close(), GUARD)
    with pytest.raises(RunnerDied):
        await one.hello()


async def test_nothing_is_left_of_fifty_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No open file, no process, no folder: also of those that were killed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    async def one_life(number: int) -> int:
        one = await spawn()
        if number % 3 == 0:
            os.kill(one.pid, signal.SIGKILL)
        await asyncio.wait_for(one.close(), GUARD)
        return one.pid

    await one_life(1)
    before = open_files()
    pids = [pid for round_ in range(10) for pid in await asyncio.gather(*(one_life(n) for n in range(5)))]
    assert len(set(pids)) == 50
    assert not any(map(alive, pids))
    assert open_files() == before
    assert list(tmp_path.iterdir()) == []
