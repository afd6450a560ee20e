"""A child that brings a model in says all the while that it is alive."""

from __future__ import annotations

import threading
from typing import Any

from support.waiting import GUARD

from mlx_serve.daemon.engine.serve import signs_of_life
from mlx_serve.daemon.protocol import Loading


def test_signs_come_until_the_load_ends() -> None:
    """From a thread, for the load itself is one long call; none follows it."""
    sent: list[Any] = []
    three = threading.Event()

    class Mailbox:
        def send(self, message: Any) -> None:
            sent.append(message)
            if len(sent) == 3:
                three.set()

    with signs_of_life(Mailbox(), seconds=0.01):  # type: ignore[arg-type]
        assert three.wait(GUARD)
    assert all(isinstance(message, Loading) for message in sent)
    assert not any(thread.name == "loading" for thread in threading.enumerate())
