"""SIGHUP is two things: a request to reload, and the end of a terminal."""

from __future__ import annotations

import os
import pty

from support.waiting import settle, until

from mlx_serve.daemon.reload.hang_up import HangUp


async def test_a_daemon_in_a_terminal_stops_when_that_closes() -> None:
    """Nobody is left to read what it writes there; before that, and without a terminal, it reloads."""
    happened: list[str] = []

    async def reload() -> None:
        happened.append("reload")

    master, slave = pty.openpty()
    there = HangUp(lambda: happened.append("stop"), reload, [slave])
    with open(os.devnull) as nothing:
        elsewhere = HangUp(lambda: happened.append("stop"), reload, [nothing.fileno()])
    there.received()
    await settle()
    assert happened == ["reload"]
    os.close(master)
    await until(lambda: not os.isatty(slave))
    there.received()
    assert happened == ["reload", "stop"]
    os.close(slave)
    elsewhere.received()
    await settle()
    assert happened == ["reload", "stop", "reload"]
