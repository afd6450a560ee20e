"""Requests to one child process: events in order, cancels, rejections."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from support.runner_process import ask, begun, count, listen, words
from support.streams import events_of

from mlx_serve.daemon.errors import RequestRejected
from mlx_serve.daemon.protocol import Accepted, Finished, Gauges, Generate, Reading, Started, Step, TextPrompt, frames
from mlx_serve.daemon.workers.runner import Runner


async def test_events_come_in_order(child: Runner) -> None:
    """Accepted, deltas, Finished; many streams at once get their own."""
    first = await listen(events_of(child, ask("one two three")))
    assert isinstance(first[0], Accepted)
    assert isinstance(first[-1], Finished)
    assert words(first) == ["one", "two", "three"]
    texts = [f"{number} x y {number}" for number in range(20)]
    answers = await asyncio.gather(*(listen(events_of(child, ask(text))) for text in texts))
    assert [words(answer) for answer in answers] == [text.split() for text in texts]
    assert child.busy == 0


async def test_two_at_once_get_their_own_events(child: Runner) -> None:
    one, two = (events_of(child, Generate(prompt=TextPrompt(text=text))) for text in ("a b", "c d"))
    assert [words(answer) for answer in await asyncio.gather(listen(one), listen(two))] == [["a", "b"], ["c", "d"]]


async def test_an_answer_has_come_with_its_first_token(child: Runner) -> None:
    """That a prompt waits, or is being read, is none."""
    child._take(Step(events=(Accepted(id=7, prompt_tokens=5), Started(id=7), Reading(id=7, tokens=1)), gauges=Gauges()))
    assert not child.answered.is_set()
    await begun(child, "wait")
    assert child.answered.is_set()


async def test_a_slow_reader_holds_nobody_up(child: Runner) -> None:
    slow = events_of(child, ask("flood 2000"))
    await anext(slow)
    assert words(await listen(events_of(child, ask("quick")))) == ["quick"]
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
    await listen(events_of(child, ask("one")))
    async with contextlib.aclosing(events_of(child, ask("one"))) as stream:
        async for event in stream:
            if isinstance(event, Finished):
                break
    with pytest.raises(RequestRejected):
        await listen(events_of(child, ask("reject")))
    await listen(events_of(child, ask("x", render_only=True)))
    assert await count(child, "cancels") == 0


async def test_a_stream_that_never_began(child: Runner) -> None:
    """A generator that is closed before its first step has asked for nothing."""
    await events_of(child, ask("wait")).aclose()
    assert child.busy == 0
    assert await count(child, "cancels") == 0
    assert child.gauges.running == 0


async def test_a_rejected_request(child: Runner) -> None:
    with pytest.raises(RequestRejected, match="no such thing") as caught:
        await listen(events_of(child, ask("reject")))
    assert (caught.value.code, caught.value.param) == ("invalid_request", "prompt")
    assert words(await listen(events_of(child, ask("still well")))) == ["still", "well"]


async def test_only_rendering_is_one_event(child: Runner) -> None:
    (event,) = await listen(events_of(child, ask("a b", render_only=True)))
    assert isinstance(event, Accepted)
    assert event.rendered == "<a b>"


async def test_counting(child: Runner) -> None:
    assert await count(child, "three words here") == 3


async def test_a_request_that_fits_no_frame(child: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_FRAME", 1000)
    with pytest.raises(RequestRejected, match="too large"):
        await listen(events_of(child, ask("x" * 2000)))
    assert child.busy == 0
    assert words(await listen(events_of(child, ask("small")))) == ["small"]
