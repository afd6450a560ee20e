"""A runner over the fake child: spawn it, ask it, read its events, see what it leaves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import psutil
from support.streams import events_of
from support.waiting import GUARD

from mlx_serve.daemon.protocol import Count, Counted, Delta, Event, Generate, Load, TextPrompt
from mlx_serve.daemon.workers.runner import Runner

FAKE = str(Path(__file__).parents[1] / "fakes" / "child.py")


async def spawn(*modes: str, **options: Any) -> Runner:
    return await asyncio.wait_for(Runner.spawn((FAKE, *modes), **options), GUARD)


def load(name: str) -> Load:
    return Load(path="/nowhere", name=name, kind="llm", max_batch=4, prefill_tokens_per_step=64)


def ask(text: str, **options: Any) -> Generate:
    return Generate(prompt=TextPrompt(text=text), **options)


async def listen(events: AsyncGenerator[Event]) -> list[Event]:
    async with asyncio.timeout(GUARD):
        return [event async for event in events]


async def begun(child: Runner, text: str, events: int = 2) -> AsyncGenerator[Event]:
    """A stream of which the first events have been taken."""
    stream = events_of(child, ask(text))
    for _ in range(events):
        await asyncio.wait_for(anext(stream), GUARD)
    return stream


async def count(child: Runner, text: str) -> int:
    """Also waits until the child has done everything before."""
    counted = await asyncio.wait_for(child.ask(Count(prompts=(TextPrompt(text=text),))), GUARD)
    assert isinstance(counted, Counted)
    return counted.count


def words(events: list[Event]) -> list[str]:
    return "".join(event.text for event in events if isinstance(event, Delta)).split()


def alive(pid: int) -> bool:
    """Whether there is such a process, a zombie included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def open_files() -> int:
    return psutil.Process().num_fds()
