"""The daemon as the tokenizer process has it: the protocol's frames, as jobs for the supervisor and answers of it."""

from __future__ import annotations

import os
import socket

import msgspec

from ... import protocol
from ..prompt.prompt_frames import Drop, PromptJob, prompt_job, receive

_events: msgspec.msgpack.Decoder[protocol.Event] = msgspec.msgpack.Decoder(protocol.Event)


class Daemon:
    """An `Asker`. Says Hello when it is made."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        hello = protocol.Hello(
            protocol=protocol.PROTOCOL, pid=os.getpid(), backend="cpu", device="tokenizer", device_memory=0
        )
        self.send(hello)

    def send(self, message: protocol.FromChild) -> None:
        """Raises OSError where the daemon is gone."""
        self.socket.sendall(protocol.encode(message))

    def receive(self) -> protocol.ToChild | None:
        """The next frame, None where the daemon is gone."""
        frame = receive(self.socket)
        return None if frame is None else protocol.decode_to_child(bytes(frame))

    def take(self) -> list[PromptJob | Drop] | None:
        match self.receive():
            case None | protocol.Quit():
                return None
            case protocol.Ask() as ask:
                return [prompt_job(ask)]
            case protocol.Cancel(id=number):
                return [Drop(id=number)]
            case protocol.Ping(id=number):
                self.send(protocol.Pong(id=number))
        return []

    def answer(self, result: bytes) -> None:
        self.send(protocol.Step(events=(_events.decode(result),)))
