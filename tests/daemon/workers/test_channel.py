"""The parent's end of a child's socket: frames whole whatever the pieces, and an end that is told once."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.waiting import GUARD

from mlx_serve.daemon import protocol
from mlx_serve.daemon.protocol import Delta, FromChild, Pong, Step, frames
from mlx_serve.daemon.workers.channel import Channel


class Heard:
    """What a channel told; `closed` is done with the problem when it ended."""

    def __init__(self) -> None:
        self.frames: list[FromChild] = []
        self.ends = 0
        self.closed: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self.arrived = asyncio.Event()

    def frame(self, frame: FromChild) -> None:
        self.frames.append(frame)
        self.arrived.set()

    def close(self, problem: str | None) -> None:
        self.ends += 1
        self.closed.set_result(problem)

    async def until(self, count: int) -> None:
        while len(self.frames) < count:
            self.arrived.clear()
            await asyncio.wait_for(self.arrived.wait(), GUARD)


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Channel, Heard, socket.socket]]:
    """An open channel, what it heard, and the child's end of its socket."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    heard = Heard()
    channel = await Channel.open(ours, heard.frame, heard.close)
    with theirs:
        yield channel, heard, theirs
        channel.abort()
        await asyncio.wait_for(heard.closed, GUARD)


Ends = tuple[Channel, Heard, socket.socket]


def step(number: int, size: int = 10) -> Step:
    return Step(events=(Delta(id=number, text="é" * size),))


def test_a_pause_follows_the_last_of_what_came_together() -> None:
    """Once for several frames, also where a piece of the next is there already, or what follows them is no frame."""
    told: list[str] = []
    channel = Channel(lambda frame: told.append("frame"), lambda problem: None, lambda: told.append("pause"))
    one = protocol.encode(step(1))
    channel.data_received(one + one + one[:5])
    assert told == ["frame", "frame", "pause"]
    channel.data_received(one[5:] + b"\xff\xff\xff\xff")
    assert told[3:] == ["frame", "pause"]


async def write(theirs: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(theirs, data)


@pytest.mark.parametrize("seed", range(5))
async def test_frames_in_any_pieces(seed: int) -> None:
    """However the bytes are cut, the same frames come out, in order, each once."""
    chance, heard = random.Random(seed), Heard()
    channel = Channel(heard.frame, heard.close)
    sent = [step(number, chance.randint(0, 50)) for number in range(60)]
    data = b"".join(map(protocol.encode, sent))
    while data:
        size = chance.choice([1, 2, 3, 4, 5, 7, 100, 1000])
        channel.data_received(data[:size])
        data = data[size:]
    assert heard.frames == sent


async def test_large_frames_both_ways(ends: Ends) -> None:
    """Megabytes from the child, and megabytes to it that it reads late."""
    channel, heard, theirs = ends
    await write(theirs, protocol.encode(step(1, 2_000_000)) + protocol.encode(step(2)))
    await heard.until(2)
    assert heard.frames == [step(1, 2_000_000), step(2)]
    request = protocol.Generate(prompt=protocol.TextPrompt(text="x" * 3_000_000))
    channel.send(request)
    channel.send(protocol.Quit())
    data = await read(theirs, len(protocol.encode(request)) + len(protocol.encode(protocol.Quit())))
    assert data == protocol.encode(request) + protocol.encode(protocol.Quit())


async def read(theirs: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await asyncio.wait_for(asyncio.get_running_loop().sock_recv(theirs, 1 << 20), GUARD)
    return data


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\xff\xff\xff\xff", "limit"),
        (b"\x00\x00\x00\x03abc", "it sent an invalid frame"),
        (b"\x00\x00\x00\x00", "it sent an invalid frame"),
        (b"\x00\x00\x00\x08\x81\xa4type\xa1x", "it sent an invalid frame"),
    ],
    ids=["endless", "garbage", "empty", "unknown"],
)
async def test_a_child_that_breaks_the_protocol(ends: Ends, data: bytes, problem: str) -> None:
    """Good frames before are heard, then the channel ends and says why, once."""
    _, heard, theirs = ends
    await write(theirs, protocol.encode(Pong(id=1)) + data + protocol.encode(Pong(id=2)))
    told = await asyncio.wait_for(asyncio.shield(heard.closed), GUARD)
    assert told is not None
    assert problem in told
    assert heard.frames == [Pong(id=1)]
    assert heard.ends == 1


async def test_a_child_that_goes(ends: Ends) -> None:
    """Half a frame is no frame; the end has no problem to tell."""
    _, heard, theirs = ends
    await write(theirs, protocol.encode(Pong(id=1)) + protocol.encode(Pong(id=2))[:5])
    theirs.close()
    assert await asyncio.wait_for(asyncio.shield(heard.closed), GUARD) is None
    assert heard.frames == [Pong(id=1)]


async def test_sending_to_a_child_that_is_gone(ends: Ends) -> None:
    """Is no error here: whoever waits is told by the end of the channel."""
    channel, heard, theirs = ends
    theirs.close()
    channel.send(protocol.Quit())
    await asyncio.wait_for(asyncio.shield(heard.closed), GUARD)
    channel.send(protocol.Quit())
    assert heard.ends == 1


async def test_a_frame_that_is_too_large_is_not_sent(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    channel, _, theirs = ends
    monkeypatch.setattr(frames, "MAX_FRAME", 100)
    prompt: Any = protocol.TextPrompt(text="x" * 200)
    with pytest.raises(protocol.FrameTooLarge):
        channel.send(protocol.Generate(prompt=prompt))
    channel.send(protocol.Quit())
    assert await read(theirs, 1) == protocol.encode(protocol.Quit())
