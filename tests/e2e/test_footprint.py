"""The daemon stays small and still. `tests/bench/cli.py` measures how small; here stands what must never change."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import psutil
import pytest
from e2e.scripted_model import HELLO
from support.live_daemon import LiveDaemon, wait_until
from support.process_use import resting

HEAVY = re.compile(r"/(?:mlx|mlx_lm|mlx_vlm|numpy|transformers|tokenizers|safetensors|torch|llguidance|PIL)/|libmlx")


def still(daemon: LiveDaemon) -> bool:
    """The models' processes and a spare are there, and none has anything to do any more."""
    return len(daemon.children()) == len(daemon.runners()) + 1 and resting(daemon.family(), 0.2, allowed=0.01)


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

    def idle() -> bool:
        """For two seconds. On a busy machine a process may not have had its turn to end what it was at."""
        return resting([psutil.Process(daemon.pid), *daemon.family()], 2, allowed=0.05)

    with contextlib.closing(daemon.connect()) as kept:
        kept.request("GET", "/healthz")
        kept.getresponse().read()
        assert daemon.chat("scripted", "say H").text == HELLO.text
        wait_until(lambda: still(daemon), "the spare is there")
        assert any(idle() for _ in range(5))
