"""Two daemons on one store, and many clients that pull, copy, remove, look and sweep all at once, in no order at all.

Every answer is right or says why it cannot be, and at the end not one file is wrong, missing or too many.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
from e2e.conftest import StartPulling
from e2e.kill_sweep import seed_of_the_day
from e2e.pulling_daemon import PullingDaemon, model
from fakes.hub.faults import truncated
from fakes.hub.server import Hub
from support.live_daemon import together, wait_until
from support.live_http import SocketConnection, exchange

CLIENTS = 6
OPERATIONS = 20
NAMES = ("acme/s0", "acme/s1", "acme/s2", "copies/a", "copies/b")
# What may be said to somebody who comes too late or too early.
FINE = ("not found", "in use by", "is missing", "was made from another model", "is damaged", "has changed on disk")


def operation(pulling: PullingDaemon, draw: random.Random) -> tuple[str, int, bytes]:
    """One of them, and what came of it."""
    name = draw.choice(NAMES)
    method, path, body = draw.choices(
        [
            ("POST", "/pull", {"source": draw.choice(NAMES[:3])}),
            ("DELETE", f"/models/{name}", None),
            ("POST", "/copy", {"source": name, "destination": draw.choice(NAMES[3:])}),
            ("GET", f"/models/{name}", None),
            ("GET", "/models", None),
            ("POST", "/gc", {}),
            ("POST", "/verify", {"name": name}),
        ],
        [8, 4, 2, 2, 1, 1, 1],
    )[0]
    answer = exchange(SocketConnection(pulling.daemon.socket_path), method, f"/control/v1{path}", body)
    return f"{method} {path} {body}", answer.status, answer.body


def client(pulling: PullingDaemon, seed: int) -> list[tuple[str, int, bytes]]:
    draw = random.Random(seed)
    return [operation(pulling, draw) for _ in range(OPERATIONS)]


def test_nothing_goes_wrong_when_everything_happens_at_once(
    start_pulling: StartPulling, hub: Hub, tmp_path: Path
) -> None:
    contents = [model(300_000, seed=200), model(200_000, 150_000, seed=201), model(200_000, 160_000, seed=201)]
    repositories = [hub.add(name, files) for name, files in zip(NAMES[:3], contents, strict=True)]
    shared = {"models_dir": str(tmp_path / "shared")}
    daemons = [start_pulling(**shared), start_pulling(**shared)]
    seed = seed_of_the_day()
    clients: list[Callable[[], list[tuple[str, int, bytes]]]] = [
        partial(client, daemons[number % 2], seed + number) for number in range(CLIENTS)
    ]
    for what, status, body in (each for answers in together(clients) for each in answers):
        last = json.loads(body.splitlines()[-1])
        if "error" in last:
            assert any(words in last["error"]["message"] for words in FINE), (seed, what, status, last)
            assert "internal" not in str(last), (seed, what, last)
    store = tmp_path / "shared"
    first = daemons[0]
    for repository in repositories:
        first.pull(repository.id)
    assert first.complete() and daemons[1].complete()
    assert daemons[1].names() >= set(NAMES[:3])
    for name in first.names():
        first.daemon.control("DELETE", f"/models/{name}")
    first.daemon.control("POST", "/gc", {})
    assert not list((store / "blobs").iterdir()), seed
    assert not list((store / "partial").iterdir()), seed


def test_a_pull_leaves_neither_memory_nor_descriptors_behind(start_pulling: StartPulling, hub: Hub) -> None:
    """Eight pulls, some of them bad, cost what two cost."""
    repository = hub.add("acme/again", model(24_000_000, 16_000_000, seed=210))
    pulling = start_pulling()

    def twice() -> tuple[int, int]:
        for shard in ("00001", "00002"):
            hub.fault(f"*acme/again/*{shard}-of*", truncated(3_000_000))
        pulling.pull("acme/again")
        pulling.refused("acme/nowhere")
        pulling.daemon.control("DELETE", "/models/acme/again")
        pulling.pull("acme/again")
        pulling.daemon.control("DELETE", "/models/acme/again")
        wait_until(lambda: all(request.done for request in pulling.bodies(repository)), "all connections are idle")
        return psutil.Process(pulling.daemon.pid).memory_info().rss, pulling.daemon.descriptors()

    memory, descriptors = twice()
    for _ in range(3):
        last = twice()
    assert last[0] < memory + 16_000_000, (memory, last[0])
    assert last[1] <= descriptors + 2, (descriptors, last[1])
