"""Two models in turns in a daemon that has room for one: what is held afterwards is what was held before."""

from __future__ import annotations

from pathlib import Path

import psutil
from support.extent import only_long
from support.live_daemon import LiveDaemon
from support.process_use import resting
from support.waiting import wait_until

ROUNDS = 20
WARM = 3
MODELS = ("scripted", "llama")
PROCESSES = 5
"""The model's process, its prompt process and that one's worker; the spare and its prompt process."""
LOOK_SECONDS = 0.5


def held(daemon: LiveDaemon) -> tuple[int, int]:
    """Bytes of the daemon, and of its processes together, once all are there that belong there and none does anything
    more."""
    daemon.wait_for_rest()
    wait_until(
        lambda: len(family := daemon.family()) == PROCESSES and _quiet(family), "one model and a spare that rest"
    )
    sizes = [process.memory_full_info().uss for process in daemon.family()]
    return psutil.Process(daemon.pid).memory_full_info().uss, sum(sizes)


def _quiet(family: list[psutil.Process]) -> bool:
    return len(family) == PROCESSES and resting(family, LOOK_SECONDS, allowed=0.01)


@only_long
def test_twenty_rounds_leave_memory_and_descriptors_where_they_were(models: Path) -> None:
    """After three rounds, in which caches fill, the daemon grows by less than 2 MB, its processes by less than 5 %."""
    with LiveDaemon(models, spare=True, cache_max_llm_models=1) as daemon:
        daemon.ready()
        seen: list[tuple[int, int, int]] = []
        for _ in range(ROUNDS):
            for model in MODELS:
                assert daemon.complete(model, "say H", max_tokens=2).status == 200
            seen.append((*held(daemon), daemon.descriptors()))
        print(*(f"daemon {own / 1e6:.1f} MB, its processes {all_ / 1e6:.1f} MB" for own, all_, _ in seen), sep="\n")
        own_before, all_before, open_before = seen[WARM]
        own_after, all_after, open_after = seen[-1]
        assert own_after - own_before < 2e6
        assert all_after < 1.05 * all_before
        assert open_after == open_before
