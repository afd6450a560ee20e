"""No idle sleep while there is work: a program in caffeinate's place shows when it runs, and what is left of it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from support.residency_harness import A, LeaseHolder, ResidencyHarness
from support.waiting import GUARD, soon, until, wait_until

from mlx_serve.daemon import keep_awake, main
from mlx_serve.daemon.keep_awake import KeepAwake, assertion
from mlx_serve.daemon.settings.effective_settings import load_settings
from mlx_serve.daemon.tasks.pulls import PullOrder, Pulls
from mlx_serve.store.store import Store

# As caffeinate -w: it ends with the process that it is told to wait for. Each run leaves its pid in a folder.
_PROGRAM = """
import os, pathlib, sys, time
assert sys.argv[1:3] == ["-i", "-w"], sys.argv
pathlib.Path({folder!r}, str(os.getpid())).touch()
try:
    while True:
        os.kill(int(sys.argv[3]), 0)
        time.sleep(0.01)
except ProcessLookupError:
    pass
"""


class Caffeinate:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "runs"
        self.folder.mkdir()
        self.program = folder / "caffeinate"
        self.program.write_text(f"#!{sys.executable}\n{_PROGRAM.format(folder=str(self.folder))}")
        self.program.chmod(0o755)
        self.command = (str(self.program), *assertion("darwin")[1:])

    @property
    def pids(self) -> list[int]:
        """Of every run so far."""
        return [int(path.name) for path in self.folder.iterdir()]

    @property
    def running(self) -> list[int]:
        return [pid for pid in self.pids if alive(pid)]


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def caffeinate(tmp_path: Path) -> Caffeinate:
    return Caffeinate(tmp_path)


@pytest.fixture
async def awake(caffeinate: Caffeinate, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KeepAwake]:
    monkeypatch.setattr(keep_awake, "LINGER_SECONDS", 0.0)
    made = KeepAwake(caffeinate.command)
    yield made
    await soon(made.close())
    assert caffeinate.running == []


def test_on_macos_it_is_caffeinates_assertion_against_idle_sleep_and_elsewhere_nothing() -> None:
    assert assertion("darwin") == ("/usr/bin/caffeinate", "-i", "-w", str(os.getpid()))
    assert assertion("linux") == ()


async def test_one_process_for_all_that_is_worked_on(awake: KeepAwake, caffeinate: Caffeinate) -> None:
    for _ in range(3):
        awake.begin()
    await until(lambda: len(caffeinate.running) == 1)
    for _ in range(2):
        awake.end()
        awake.begin()
    for _ in range(3):
        awake.end()
    await until(lambda: caffeinate.running == [])
    assert len(caffeinate.pids) == 1
    awake.begin()
    await until(lambda: len(caffeinate.running) == 1 and len(caffeinate.pids) == 2)
    awake.end()


async def test_requests_in_a_row_share_one_too(
    awake: KeepAwake, caffeinate: Caffeinate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lingers, so that a request in the next moment starts no other."""
    monkeypatch.setattr(keep_awake, "LINGER_SECONDS", GUARD)
    for _ in range(5):
        awake.begin()
        await until(lambda: len(caffeinate.running) == 1)
        awake.end()
    assert len(caffeinate.pids) == 1


async def test_work_that_comes_while_it_is_being_ended_gets_one(awake: KeepAwake, caffeinate: Caffeinate) -> None:
    awake.begin()
    await until(lambda: len(caffeinate.running) == 1)
    awake.end()
    awake._release()  # its time is over, and it has not ended yet
    awake.begin()
    await until(lambda: len(caffeinate.pids) == 2 and len(caffeinate.running) == 1)
    awake.end()


async def test_one_that_somebody_ended_comes_back_with_the_next_work(awake: KeepAwake, caffeinate: Caffeinate) -> None:
    awake.begin()
    await until(lambda: len(caffeinate.running) == 1)
    os.kill(caffeinate.running[0], signal.SIGKILL)
    await until(lambda: caffeinate.running == [])
    await until(lambda: awake._holding is not None and awake._holding.done())
    awake.begin()
    await until(lambda: len(caffeinate.pids) == 2 and len(caffeinate.running) == 1)
    awake.end()
    awake.end()


async def test_a_machine_without_the_program_works_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    awake = KeepAwake((str(tmp_path / "none"),))
    for _ in range(3):
        awake.begin()
        await asyncio.sleep(0)
    await until(lambda: awake._command == ())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    await soon(awake.close())


async def test_closing_ends_it_in_the_midst_of_work(awake: KeepAwake, caffeinate: Caffeinate) -> None:
    awake.begin()
    await until(lambda: len(caffeinate.running) == 1)
    await soon(awake.close())
    assert caffeinate.running == []
    awake.end()
    awake.begin()
    await asyncio.sleep(0)
    assert len(caffeinate.pids) == 1
    awake.end()


def test_a_daemon_that_is_killed_leaves_none(caffeinate: Caffeinate) -> None:
    """For that `-w` names the daemon."""
    code = (
        "import asyncio\n"
        "from mlx_serve.daemon.keep_awake import KeepAwake, assertion\n"
        "async def run():\n"
        f"    KeepAwake(({str(caffeinate.program)!r}, *assertion('darwin')[1:])).begin()\n"
        "    await asyncio.sleep(3600)\n"
        "asyncio.run(run())"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as daemon:
        wait_until(lambda: caffeinate.running, "the assertion")
        daemon.kill()
        daemon.wait()
        wait_until(lambda: not caffeinate.running, "its end")


async def test_a_lease_holds_it_and_a_failed_one_does_not_for_ever(
    awake: KeepAwake, caffeinate: Caffeinate, tmp_path: Path
) -> None:
    """Loading counts too: whoever asked waits for it."""
    harness = ResidencyHarness(load_settings({}, {"MLX_SERVE_HOME": str(tmp_path)}), keep_awake=awake)
    gate = harness.fleet.hold(A)
    holder = LeaseHolder(harness, A)
    await until(lambda: len(caffeinate.running) == 1)
    harness.fleet.outcomes[A] = RuntimeError("bad model")
    gate.set()
    await until(lambda: caffeinate.running == [])
    with pytest.raises(RuntimeError):
        await holder.task
    await soon(harness.residency.close())


async def test_a_pull_holds_it(
    caffeinate: Caffeinate, awake: KeepAwake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real pull into a real store; it may be over before the program has begun, so the moment after it is long."""
    monkeypatch.setattr(keep_awake, "LINGER_SECONDS", GUARD)
    store = Store.open(tmp_path / "models", {})
    pulls = Pulls(store, None, keep_awake=awake)  # type: ignore[arg-type]
    events = pulls.follow(PullOrder("starter"))
    await anext(events)
    await until(lambda: len(caffeinate.pids) == 1)
    async for _ in events:
        pass
    await until(lambda: awake._count == 0)
    assert len(caffeinate.running) == 1
    awake._release()
    await until(lambda: caffeinate.running == [])
    await pulls.close()


@pytest.mark.parametrize(("setting", "held"), [("true", True), ("false", False)])
async def test_the_daemon_is_put_together_with_it_unless_the_setting_says_no(
    setting: str, held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep_awake, "assertion", lambda: ("caffeinate",))
    environ = {"MLX_SERVE_HOME": str(tmp_path), "MLX_SERVE_SERVER_PREVENT_SLEEP": setting}
    context = main.compose(load_settings({}, environ), 0.0)
    assert context.keep_awake._command == (("caffeinate",) if held else ())
    assert context.pulls._keep_awake is context.residency._keep_awake is context.keep_awake
