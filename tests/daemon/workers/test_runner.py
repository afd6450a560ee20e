"""One child process seen from the daemon: its events in order, its death at once, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mlx_serve.daemon import protocol
from mlx_serve.daemon.errors import InsufficientMemory, LoadError, RequestRejected, RunnerDied, UnsupportedByModel
from mlx_serve.daemon.protocol import Accepted, Delta, Event, Finished, Generate, Load, TextPrompt
from mlx_serve.daemon.workers import runner
from mlx_serve.daemon.workers.runner import Runner

FAKE = str(Path(__file__).parents[2] / "fakes" / "child.py")
GUARD = 20


@pytest.fixture
async def child() -> AsyncIterator[Runner]:
    """A loaded child that is well."""
    one = await spawn()
    await one.load(load("acme/model"))
    yield one
    await one.close()


async def spawn(*modes: str, **options: Any) -> Runner:
    return await asyncio.wait_for(Runner.spawn((FAKE, *modes), **options), GUARD)


def load(name: str) -> Load:
    return Load(path="/nowhere", name=name, kind="llm", max_batch=4, prefill_tokens_per_step=64)


def ask(text: str, **options: Any) -> Generate:
    return Generate(id=0, prompt=TextPrompt(text=text), **options)


async def listen(events: AsyncGenerator[Event]) -> list[Event]:
    async with asyncio.timeout(GUARD):
        return [event async for event in events]


async def begun(child: Runner, text: str, events: int = 2) -> AsyncGenerator[Event]:
    """A stream of which the first events have been taken."""
    stream = child.generate(ask(text))
    for _ in range(events):
        await asyncio.wait_for(anext(stream), GUARD)
    return stream


async def count(child: Runner, text: str) -> int:
    """Also waits until the child has done everything before."""
    return (await asyncio.wait_for(child.count(TextPrompt(text=text)), GUARD)).count


def words(events: list[Event]) -> list[str]:
    return "".join(event.text for event in events if isinstance(event, Delta)).split()


# --- requests


async def test_events_come_in_order(child: Runner) -> None:
    """Accepted, deltas, Finished; many streams at once get their own."""
    first = await listen(child.generate(ask("one two three")))
    assert isinstance(first[0], Accepted)
    assert isinstance(first[-1], Finished)
    assert words(first) == ["one", "two", "three"]
    texts = [f"{number} x y {number}" for number in range(20)]
    answers = await asyncio.gather(*(listen(child.generate(ask(text))) for text in texts))
    assert [words(answer) for answer in answers] == [text.split() for text in texts]
    assert child.busy == 0


async def test_the_callers_id_does_not_matter(child: Runner) -> None:
    one, two = (child.generate(Generate(id=7, prompt=TextPrompt(text=text))) for text in ("a b", "c d"))
    assert [words(answer) for answer in await asyncio.gather(listen(one), listen(two))] == [["a", "b"], ["c", "d"]]


async def test_a_slow_reader_loses_nothing(child: Runner) -> None:
    """A thousand deltas that wait are a handful of events, and hold every word, thought, call and probability."""
    stream = child.generate(ask("flood 1000"))
    accepted = await anext(stream)
    assert isinstance(accepted, Accepted)
    await count(child, "all frames are here")
    events = await listen(stream)
    assert len(events) <= 4
    deltas = [event for event in events if isinstance(event, Delta)]
    assert words(events) == [str(number) for number in range(1000)]
    assert "".join(delta.reasoning for delta in deltas).split() == [f"r{number}" for number in range(1000)]
    assert [call.name for delta in deltas for call in delta.tool_calls] == [f"f{number}" for number in range(1000)]
    assert [entry.token for delta in deltas for entry in delta.logprobs] == [str(number) for number in range(1000)]
    assert deltas[-1].tokens == 1000
    assert isinstance(events[-1], Finished)


async def test_a_slow_reader_holds_nobody_up(child: Runner) -> None:
    slow = child.generate(ask("flood 2000"))
    await anext(slow)
    assert words(await listen(child.generate(ask("quick")))) == ["quick"]
    assert len(words(await listen(slow))) == 2000


async def test_closing_a_stream_cancels_it(child: Runner) -> None:
    stream = await begun(child, "wait")
    assert child.busy == 1
    await stream.aclose()
    assert child.busy == 0
    assert await count(child, "cancels") == 1
    assert child.gauges.running == 0


async def test_a_cancelled_task_cancels_its_request(child: Runner) -> None:
    """As when the client hangs up while nothing comes."""
    stream = await begun(child, "wait")
    task = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await count(child, "cancels") == 1


async def test_whoever_has_ended_is_not_cancelled(child: Runner) -> None:
    """Finished, rejected, rendered, counted: no Cancel follows, also when the stream is closed after its last event."""
    await listen(child.generate(ask("one")))
    async with contextlib.aclosing(child.generate(ask("one"))) as stream:
        async for event in stream:
            if isinstance(event, Finished):
                break
    with pytest.raises(RequestRejected):
        await listen(child.generate(ask("reject")))
    await listen(child.generate(ask("x", render_only=True)))
    assert await count(child, "cancels") == 0


async def test_a_stream_that_never_began(child: Runner) -> None:
    """A generator that is closed before its first step has asked for nothing."""
    await child.generate(ask("wait")).aclose()
    assert child.busy == 0
    assert await count(child, "cancels") == 0
    assert child.gauges.running == 0


async def test_a_rejected_request(child: Runner) -> None:
    with pytest.raises(RequestRejected, match="no such thing") as caught:
        await listen(child.generate(ask("reject")))
    assert (caught.value.code, caught.value.param) == ("invalid_request", "prompt")
    assert words(await listen(child.generate(ask("still well")))) == ["still", "well"]


async def test_only_rendering_is_one_event(child: Runner) -> None:
    (event,) = await listen(child.generate(ask("a b", render_only=True)))
    assert isinstance(event, Accepted)
    assert event.rendered == "<a b>"


async def test_counting(child: Runner) -> None:
    assert await count(child, "three words here") == 3


async def test_a_request_that_fits_no_frame(child: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_FRAME", 1000)
    with pytest.raises(RequestRejected, match="too large"):
        await listen(child.generate(ask("x" * 2000)))
    assert child.busy == 0
    assert words(await listen(child.generate(ask("small")))) == ["small"]


# --- loading


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("acme/damaged", LoadError),
        ("acme/unsupported", UnsupportedByModel),
        ("acme/large", InsufficientMemory),
        ("acme/broken", LoadError),
        ("acme/dies", RunnerDied),
    ],
)
async def test_models_that_do_not_load(name: str, kind: type[Exception]) -> None:
    """Whose fault it is tells the type, and the sentence has the model's name and the child's reason."""
    one = await spawn()
    with pytest.raises(kind) as caught:
        await asyncio.wait_for(one.load(load(name)), GUARD)
    assert type(caught.value) is kind
    assert name in str(caught.value)
    assert ("it is " in str(caught.value)) or "exit status 9" in str(caught.value)
    await one.close()


async def test_a_child_that_cannot_start() -> None:
    """Its imports fail: the load says so, with its exit status, and what it wrote is in the log."""
    one = await spawn("die")
    with pytest.raises(RunnerDied, match="exit status 7"):
        await asyncio.wait_for(one.load(load("acme/model")), GUARD)
    await one.close()


async def test_a_child_of_another_version() -> None:
    one = await spawn("old")
    with pytest.raises(RunnerDied, match="protocol 2"):
        await asyncio.wait_for(one.load(load("acme/model")), GUARD)
    await asyncio.wait_for(one.dead.wait(), GUARD)
    await one.close()


async def test_a_child_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "START_SECONDS", 0.3)
    one = await spawn("silent")
    with pytest.raises(RunnerDied, match="said nothing"):
        await asyncio.wait_for(one.load(load("acme/model")), GUARD)
    await asyncio.wait_for(one.dead.wait(), GUARD)
    await one.close()


async def test_garbage_at_the_start() -> None:
    one = await spawn("garbage")
    with pytest.raises(RunnerDied, match="cannot be read"):
        await asyncio.wait_for(one.load(load("acme/model")), GUARD)
    await one.close()
    assert not alive(one.pid)


# --- death


async def test_a_killed_child_is_noticed_at_once(child: Runner) -> None:
    """Every stream of it ends within a second, says by what it was killed, and no new one begins."""
    streams = [await begun(child, "wait") for _ in range(5)]
    killed = time.monotonic()
    os.kill(child.pid, signal.SIGKILL)
    answers = await asyncio.gather(*map(listen, streams), return_exceptions=True)
    assert time.monotonic() - killed < 1.0
    for answer in answers:
        assert isinstance(answer, RunnerDied)
        assert "SIGKILL" in str(answer)
        assert "acme/model" in str(answer)
    assert not child.alive
    with pytest.raises(RunnerDied, match="SIGKILL"):
        await listen(child.generate(ask("more")))
    with pytest.raises(RunnerDied):
        await count(child, "more")


async def test_what_was_said_before_the_death_is_heard(child: Runner) -> None:
    stream = child.generate(ask("die"))
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
        ("garbage", "cannot be read"),
        ("endless", "limit"),
    ],
)
async def test_every_way_to_die(child: Runner, text: str, reason: str) -> None:
    """The request that met it and one beside it are told the cause; the process is gone."""
    beside = await begun(child, "wait")
    for stream in (child.generate(ask(text)), beside):
        with pytest.raises(RunnerDied, match=reason):
            await listen(stream)
    await asyncio.wait_for(child.dead.wait(), GUARD)
    assert not alive(child.pid)


async def test_a_wedged_child_is_killed() -> None:
    """A loop that answers no Ping is not waited for."""
    one = await spawn(wedged_seconds=0.4)
    await one.load(load("acme/model"))
    beside = await begun(one, "wait")
    for stream in (one.generate(ask("hang")), beside):
        with pytest.raises(RunnerDied, match="no sign of life"):
            await listen(stream)
    await asyncio.wait_for(one.dead.wait(), GUARD)
    await one.close()


async def test_a_slow_child_is_not_killed() -> None:
    """One that says nothing for longer than that, but answers Pings, lives."""
    one = await spawn(wedged_seconds=0.8)
    await one.load(load("acme/model"))
    began = time.monotonic()
    assert isinstance((await listen(one.generate(ask("pings 5"))))[-1], Finished)
    assert time.monotonic() - began > 0.8
    assert one.alive
    await one.close()


async def test_a_child_that_closes_its_socket_and_stays(child: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "QUIT_SECONDS", 0.1)
    with pytest.raises(RunnerDied):
        await listen(child.generate(ask("leave")))
    await asyncio.wait_for(child.dead.wait(), GUARD)
    assert not alive(child.pid)


async def test_an_idle_child_dies(child: Runner) -> None:
    """Nobody waits for it: the event is set all the same."""
    os.kill(child.pid, signal.SIGKILL)
    await asyncio.wait_for(child.dead.wait(), GUARD)
    assert not child.alive
    assert "SIGKILL" in child.death


# --- what it says, where it lives, what it leaves


async def test_complaints_go_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mlx_serve.runner")
    one = await spawn("die")
    await asyncio.wait_for(one.dead.wait(), GUARD)
    assert "line=cannot import" in caplog.text


async def test_endless_lines_stop_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """A megabyte of progress bar without a line's end neither blocks the child nor fills the log."""
    caplog.set_level(logging.INFO, "mlx_serve.runner")
    one = await spawn("loud")
    await asyncio.wait_for(one.load(load("acme/model")), GUARD)
    assert words(await listen(one.generate(ask("complain")))) == ["heard"]
    await asyncio.wait_for(one.close(), GUARD)
    assert not alive(one.pid)
    assert len(caplog.text) < 100_000


async def test_a_private_folder_for_temporary_files(child: Runner) -> None:
    """Each child's own, for its owner only, and gone with it."""
    (folder,) = words(await listen(child.generate(ask("where"))))
    assert Path(folder).is_dir()
    assert Path(folder).stat().st_mode & 0o777 == 0o700
    other = await spawn()
    (elsewhere,) = words(await listen(other.generate(ask("where"))))
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
    await one.load(load("acme/deaf"))
    await asyncio.wait_for(one.close(), GUARD)
    assert not alive(one.pid)


async def test_closing_while_it_starts() -> None:
    one = await spawn()
    await asyncio.wait_for(one.close(), GUARD)
    assert not alive(one.pid)
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


def alive(pid: int) -> bool:
    """Whether there is such a process, a zombie included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def open_files() -> int:
    return len(list(Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd").iterdir()))
