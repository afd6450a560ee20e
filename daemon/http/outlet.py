"""Where the next parts of a response under way can be written without a wait, one call a part.

It is what a token of a stream takes: `send` of the response costs four coroutines and a turn of its task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol


class Peer(Protocol):
    """The client's connection. `behind`: it does not read what is written."""

    transport: asyncio.Transport
    behind: bool


class Outlet:
    """Belongs to one response whose head is sent, until that ends. `frame` makes of a part what is written of it."""

    __slots__ = ("_frame", "_peer")

    def __init__(self, peer: Peer, frame: Callable[[bytes], bytes]) -> None:
        self._peer = peer
        self._frame = frame

    @property
    def open(self) -> bool:
        """Whether the client is there and not behind: only then may be written."""
        peer = self._peer
        return not peer.behind and not peer.transport.is_closing()

    def prepared(self, data: bytes) -> Callable[[], None]:
        """The write of the next part, which is not empty: to be called before anything else is written."""
        return partial(self._peer.transport.write, self._frame(data))
