"""Where the frames of the parent go."""

from __future__ import annotations

import socket

from mlx_serve.daemon import protocol
from mlx_serve.daemon.engine.mailbox import Mailbox
from mlx_serve.daemon.protocol import Ask, Cancel, Count, Ping, TokenPrompt


def test_who_prepares_prompts_is_asked_at_once() -> None:
    """Work does not wait in the queue for the end of a step; everything else does, in its order."""
    ours, theirs = socket.socketpair()
    frames = [Ping(id=1), Ask(id=2, work=Count(prompts=(TokenPrompt(ids=(1, 2)),))), Cancel(id=2)]
    with ours, theirs:
        for frame in frames:
            theirs.sendall(protocol.encode(frame))
        theirs.shutdown(socket.SHUT_WR)
        mailbox, asked = Mailbox(ours), list[Ask]()
        mailbox.asked = asked.append
        mailbox._read_frames()
    assert mailbox.drain(wait=False) == [frames[0], frames[2]] and asked == [frames[1]]


def test_else_it_waits_with_the_rest() -> None:
    ours, theirs = socket.socketpair()
    frames = [Ask(id=2, work=Count(prompts=(TokenPrompt(ids=(1, 2)),))), Ping(id=1)]
    with ours, theirs:
        for frame in frames:
            theirs.sendall(protocol.encode(frame))
        theirs.shutdown(socket.SHUT_WR)
        mailbox = Mailbox(ours)
        mailbox._read_frames()
    assert mailbox.drain(wait=False) == frames
