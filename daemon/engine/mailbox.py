"""The child's end of the socket: a reader thread that only moves frames, and a blocking send for the loop.

When the parent is gone the process ends at once: a child never outlives its daemon.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from .. import protocol


class Mailbox:
    """`queue` receives frames from the parent and whatever other threads of the child put in; work that is asked for
    goes to `asked` instead, where there is one, by the thread that reads: it need not wait for the end of a step."""

    def __init__(self, sock: socket.socket) -> None:
        self.asked: Callable[[protocol.Ask], None] | None = None
        self._socket = sock
        self._sending = threading.Lock()
        self._told = False
        self.queue: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def start(self) -> None:
        threading.Thread(target=self._read, name="frames", daemon=True).start()

    def send(self, message: protocol.FromChild) -> None:
        with self._sending:
            try:
                self._socket.sendall(protocol.encode(message))
            except OSError:
                os._exit(0)

    def drain(self, *, wait: bool, seconds: float | None = None) -> list[Any]:
        """Everything that has arrived; with `wait`, at least one message, or none after so many seconds."""
        messages: list[Any] = []
        with contextlib.suppress(queue.Empty):
            if wait:
                messages.append(self.queue.get(timeout=seconds))
            while True:
                messages.append(self.queue.get_nowait())
        return messages

    def _read(self) -> None:
        """Until the parent is gone. An invalid frame ends the process too: it could not be reached any more."""
        status = 0
        try:
            with contextlib.suppress(OSError):
                self._read_frames()
        except (protocol.FrameTooLarge, msgspec.DecodeError) as error:
            sys.stderr.write(f"cannot decode a frame of the parent: {error}\n")
            status = 1
        finally:
            os._exit(status)

    def _read_frames(self) -> None:
        with self._socket.makefile("rb", buffering=1 << 16) as stream:
            while len(header := stream.read(4)) == 4:
                length = protocol.frame_length(header)
                body = stream.read(length)
                if len(body) < length:
                    break
                message = protocol.decode_to_child(body)
                if not self._told and isinstance(message, protocol.Quit):
                    break  # there is nothing to end but what is done while nobody asks
                self._told = True
                if self.asked is not None and isinstance(message, protocol.Ask):
                    self.asked(message)
                else:
                    self.queue.put(message)
