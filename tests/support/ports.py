"""A port of the loopback address for a test alone: to listen on, or to find nobody at.

A port that the system picks (`bind(("127.0.0.1", 0))`) goes to the next process that asks once it is closed, and tests
that run at the same time ask all the time. These lie below the range that Linux (from 32768) and macOS (from 49152)
pick from, each process of tests has a part of its own, and no port comes twice.
"""

from __future__ import annotations

import itertools
import os
import random
import socket

_FIRST, _EACH, _PARTS = 20_000, 1_200, 10
_part = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PARTS
# Two runs of the tests on one machine begin at different places.
_turn = itertools.count(random.SystemRandom().randrange(_EACH))


def free_port() -> int:
    """A port that nobody listens on, and that the system gives to nobody."""
    for turn in itertools.islice(_turn, _EACH):
        port = _FIRST + _part * _EACH + turn % _EACH
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"all {_EACH} ports from {_FIRST + _part * _EACH} are taken")
