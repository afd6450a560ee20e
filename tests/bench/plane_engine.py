"""A child process without a model that emits at will: RATE tokens a second for each request, with the time in them.

Run by plane.py as `python plane_engine.py RATE BURST --fd N`. Each delta's text is CLOCK_MONOTONIC in seconds; all
requests have their tokens in the same frame, as a batch of an engine does, BURST of each request in frames that are
sent together.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time

from mlx_serve.daemon import protocol
from mlx_serve.daemon.protocol import (
    Accepted,
    Ask,
    Cancel,
    Delta,
    Event,
    Finished,
    Gauges,
    Generate,
    Hello,
    Load,
    Loaded,
    Ping,
    Pong,
    Quit,
    Step,
)

ROOM = Loaded(weight_bytes=1 << 20, kv_bytes_per_token=16, context_length=4096, vocabulary=320, batchable=True)


class Emitter:
    def __init__(self, sock: socket.socket, rate: float, burst: int) -> None:
        self._socket = sock
        self._pause = burst / rate
        self._burst = burst
        self._received = bytearray()
        self._left: dict[int, tuple[int, int]] = {}
        self._started: list[int] = []

    def live(self) -> None:
        hello = Hello(protocol=protocol.PROTOCOL, pid=os.getpid(), backend="cpu", device="none", device_memory=1 << 34)
        self._send(hello)
        tick = time.monotonic() + self._pause
        while True:
            ready, _, _ = select.select([self._socket], [], [], max(0.0, tick - time.monotonic()))
            if ready and not self._take():
                return
            if time.monotonic() >= tick:
                self._socket.sendall(b"".join([self._step() for _ in range(self._burst)]))
                tick = max(tick + self._pause, time.monotonic())

    def _send(self, frame: protocol.FromChild) -> None:
        self._socket.sendall(protocol.encode(frame))

    def _take(self) -> bool:
        data = self._socket.recv(1 << 20)
        self._received += data
        while len(self._received) >= 4:
            end = 4 + protocol.frame_length(bytes(self._received[:4]))
            if len(self._received) < end:
                break
            frame = protocol.decode_to_child(bytes(self._received[4:end]))
            del self._received[:end]
            match frame:
                case Load():
                    self._send(ROOM)
                case Ask(id=number, work=Generate() as work):
                    self._started.append(number)
                    self._left[number] = (0, work.max_tokens or 100)
                case Cancel(id=number):
                    self._left.pop(number, None)
                case Ping(id=number):
                    self._send(Pong(id=number, gauges=self._gauges))
                case Quit():
                    return False
        return bool(data)

    @property
    def _gauges(self) -> Gauges:
        return Gauges(running=len(self._left))

    def _step(self) -> bytes:
        """The frame of one token of every request; b"" when there is none."""
        events: list[Event] = [Accepted(id=number, prompt_tokens=1) for number in self._started]
        self._started.clear()
        now = f"{time.monotonic():.4f} "
        for number, (done, wanted) in list(self._left.items()):
            events.append(Delta(id=number, text=now, tokens=done + 1))
            self._left[number] = (done + 1, wanted)
            if done + 1 >= wanted:
                del self._left[number]
                events.append(Finished(id=number, reason="length", prompt_tokens=1, completion_tokens=done + 1))
        return protocol.encode(Step(events=tuple(events), gauges=self._gauges)) if events else b""


if __name__ == "__main__":
    place = sys.argv.index("--fd")
    with socket.socket(fileno=int(sys.argv[place + 1])) as own:
        Emitter(own, float(sys.argv[1]), int(sys.argv[2])).live()
