"""The daemon stays small and still. `tests/bench/cli.py` measures how small; here stands what must never change."""

from __future__ import annotations

import re
import time
from pathlib import Path

import psutil
import pytest
from e2e.scripted_model import HELLO
from support.live_daemon import LiveDaemon, used, wait_until

HEAVY = re.compile(r"/(?:mlx|mlx_lm|mlx_vlm|numpy|transformers|tokenizers|safetensors|torch|llguidance|PIL)/|libmlx")


def still(daemon: LiveDaemon) -> bool:
    """The models' processes and a spare are there, and none has anything to do any more."""
    children = daemon.family()
    before = [used(child) for child in children]
    time.sleep(0.2)
    there = len(daemon.children()) == len(daemon.runners()) + 1
    return there and all(used(child) - first <= 0.01 for child, first in zip(children, before, strict=True))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads /proc")
def test_the_daemon_never_maps_what_only_children_need(daemon: LiveDaemon) -> None:
    """Neither to start nor after a pull, an answer, a listing and an unload, nor whatever other tests did with it."""
    maps = Path(f"/proc/{daemon.pid}/maps")
    assert daemon.chat("scripted", "say H").text == HELLO.text
    assert daemon.post("/api/pull", model="starter", stream=False).status == 200
    assert daemon.post("/api/show", model="scripted").status == 200
    assert daemon.get("/metrics").status == daemon.get("/api/tags").status == 200
    child = Path(f"/proc/{daemon.runner('local/scripted')}/maps").read_text()
    assert HEAVY.search(child), "the pattern finds what it looks for"
    assert daemon.command("unload", "scripted").returncode == daemon.command("verify", "starter").returncode == 0
    assert not HEAVY.search(maps.read_text())


def test_an_idle_daemon_uses_no_processor_time(daemon: LiveDaemon) -> None:
    """With models in memory and a connection kept alive; and its children neither."""
    kept = daemon.connect()
    kept.request("GET", "/healthz")
    kept.getresponse().read()
    assert daemon.chat("scripted", "say H").text == HELLO.text
    wait_until(lambda: still(daemon), "the spare is there")

    def idle() -> bool:
        """For two seconds. On a busy machine a process may not have had its turn to end what it was at."""
        family = [psutil.Process(daemon.pid), *daemon.family()]
        before = [used(process) for process in family]
        time.sleep(2)
        return all(used(process) - first < 0.05 for process, first in zip(family, before, strict=True))

    try:
        assert any(idle() for _ in range(5))
    finally:
        kept.close()
