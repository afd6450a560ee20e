"""A child that dies, hangs or sends garbage: every request of it is told the cause at once."""

from __future__ import annotations

import asyncio
import os
import signal
from types import SimpleNamespace

import pytest
from support.runner_process import alive, ask, begun, count, listen, load, spawn, words
from support.streams import events_of
from support.waiting import GUARD, until

from mlx_serve.daemon.errors import RunnerDied
from mlx_serve.daemon.protocol import Finished
from mlx_serve.daemon.workers import runner
from mlx_serve.daemon.workers.runner import Runner


async def test_a_killed_child_is_noticed_at_once(child: Runner) -> None:
    """Every stream of it ends, long before its silence would count, says by what it was killed; no new one begins."""
    streams = [await begun(child, "wait") for _ in range(5)]
    os.kill(child.pid, signal.SIGKILL)
    answers = await asyncio.gather(*map(listen, streams), return_exceptions=True)
    for answer in answers:
        assert isinstance(answer, RunnerDied)
        assert "SIGKILL" in str(answer)
        assert "acme/model" in str(answer)
    assert not child.alive
    with pytest.raises(RunnerDied, match="SIGKILL"):
        await listen(events_of(child, ask("more")))
    with pytest.raises(RunnerDied):
        await count(child, "more")


async def test_what_was_said_before_the_death_is_heard(child: Runner) -> None:
    stream = events_of(child, ask("die"))
    events = [await asyncio.wait_for(anext(stream), GUARD) for _ in range(2)]
    assert words(events) == ["dying"]
    with pytest.raises(RunnerDied, match="exit status 3"):
        await asyncio.wait_for(anext(stream), GUARD)


async def test_a_death_while_nobody_listens(child: Runner) -> None:
    """A reader that was busy elsewhere is told when it comes back, it does not wait for ever."""
    stream = await begun(child, "wait")
    os.kill(child.pid, signal.SIGKILL)
    await asyncio.wait_for(child.dead.wait(), GUARD)
    with pytest.raises(RunnerDied, match="SIGKILL"):
        await listen(stream)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("die", "exit status 3"),
        ("killed", "SIGKILL"),
        ("fatal", "the device is gone"),
        ("garbage", "it sent an invalid frame"),
        ("endless", "limit"),
    ],
)
async def test_every_way_to_die(child: Runner, text: str, reason: str) -> None:
    """The request that met it and one beside it are told the cause; the process is gone."""
    beside = await begun(child, "wait")
    for stream in (events_of(child, ask(text)), beside):
        with pytest.raises(RunnerDied, match=reason):
            await listen(stream)
    await asyncio.wait_for(child.dead.wait(), GUARD)
    assert not alive(child.pid)


async def test_a_wedged_child_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that answers no Ping is not waited for."""
    monkeypatch.setattr(runner, "PING_SECONDS", 0.1)
    one = await spawn()
    await one.load(load("acme/model"), GUARD)
    beside = await begun(one, "wait")
    one._wedged_seconds = 0.4
    for stream in (events_of(one, ask("hang")), beside):
        with pytest.raises(RunnerDied, match="did not respond for"):
            await listen(stream)
    await asyncio.wait_for(one.dead.wait(), GUARD)
    await one.close()


async def test_a_child_whose_steps_are_known_to_be_long_gets_ten_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device on which one step takes a minute is not wedged after two."""
    monkeypatch.setattr(runner, "PING_SECONDS", GUARD)
    one = await spawn(wedged_seconds=120.0)
    await one.load(load("acme/model"), GUARD)
    stream = await begun(one, "long 60")
    heard = one._received_at
    one._received_at = heard - 500.0
    one._ping()
    assert one.alive
    one._received_at = heard - 601.0
    one._ping()
    with pytest.raises(RunnerDied, match="did not respond for 601 s"):
        await listen(stream)
    await one.close()


async def test_a_slow_child_is_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says nothing for longer than that, but answers Pings, lives. The clock goes on with every answer."""
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(runner, "time", clock)
    monkeypatch.setattr(runner, "PING_SECONDS", 0.02)
    one = await spawn(wedged_seconds=100.0)
    await one.load(load("acme/model"), GUARD)
    answer = asyncio.ensure_future(listen(events_of(one, ask("pings 60"))))
    while not answer.done():  # it may be through before this is looked at again
        answered = one.gauges.steps
        clock.now += 60.0
        await until(lambda count=answered: answer.done() or one.gauges.steps > count)  # type: ignore[misc]
    assert isinstance((await answer)[-1], Finished)
    assert clock.now > 100.0
    assert one.alive
    await one.close()


async def test_a_child_that_closes_its_socket_and_stays(child: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "QUIT_SECONDS", 0.1)
    with pytest.raises(RunnerDied):
        await listen(events_of(child, ask("leave")))
    await asyncio.wait_for(child.dead.wait(), GUARD)
    assert not alive(child.pid)


async def test_an_idle_child_dies(child: Runner) -> None:
    """Nobody waits for it: the event is set all the same."""
    os.kill(child.pid, signal.SIGKILL)
    await asyncio.wait_for(child.dead.wait(), GUARD)
    assert not (child.alive or child.connected)
    assert "SIGKILL" in child.death


async def test_a_dead_child_is_not_connected_before_it_is_known_what_it_died_of(
    child: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = asyncio.Event()
    wait = child._child.wait

    async def late() -> str:
        await known.wait()
        return await wait()

    monkeypatch.setattr(child._child, "wait", late)
    os.kill(child.pid, signal.SIGKILL)
    await until(lambda: not child.connected)
    assert child.alive
    known.set()
    await asyncio.wait_for(child.dead.wait(), GUARD)
