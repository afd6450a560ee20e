"""Requests to one child process: events in order, cancels, rejections."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from support.runner_process import ask, begun, count, listen, words

from mlx_serve.daemon import protocol
from mlx_serve.daemon.errors import RequestRejected
from mlx_serve.daemon.protocol import Accepted, Delta, Finished, Generate, TextPrompt
from mlx_serve.daemon.workers.runner import Runner


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
