"""The engine's thread alone collects cycles, when nobody waits; meanwhile memory does not grow without bound."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.engine_client import Engine
from support.waiting import wait_until

from mlx_serve.daemon.engine.collector import YOUNG, Collector
from mlx_serve.daemon.protocol import TextPrompt


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    gc.collect()
    yield
    gc.enable()


def dropped() -> weakref.ref[Cycle]:
    return weakref.ref(Cycle())


def test_no_other_thread_collects() -> None:
    """Whatever it makes; the next rest does."""
    collector, gone = Collector(), dropped()
    thread = threading.Thread(target=lambda: [Cycle() for _ in range(3 * YOUNG)])
    thread.start()
    thread.join()
    assert gone() is not None
    collector.rest()
    assert gone() is None


def test_steps_without_a_rest_collect_now_and_then() -> None:
    """Only where many objects have come; what outlived earlier passes is found by later ones."""
    counts = [YOUNG - 1]
    collector, gone = Collector(lambda: counts[0]), dropped()
    collector.after_step()
    assert gone() is not None
    counts[0] = YOUNG
    collector.after_step()
    assert gone() is None
    held = Cycle()
    older = weakref.ref(held)
    for _ in range(70):
        collector.after_step()
    del held
    for _ in range(70):
        collector.after_step()
    assert older() is None


def test_what_is_there_at_the_first_rest_is_not_looked_at_again() -> None:
    """So that a later one takes no time; what comes after it is."""
    program = [[] for _ in range(100)]  # type: list[list[int]]
    collector = Collector()
    collector.rest()
    frozen = gc.get_freeze_count()
    assert frozen > len(program)
    gone = dropped()
    collector.rest()
    assert gone() is None and gc.get_freeze_count() <= frozen


NOTE = """
import gc, sys, threading

def note(phase, info):
    if phase == "stop":
        thread = "main" if threading.current_thread() is threading.main_thread() else "another"
        sys.stderr.write(f"collected by {thread} enabled={gc.isenabled()} generation={info['generation']}\\n")
        sys.stderr.flush()

gc.callbacks.append(note)
"""


def test_a_model_s_process_collects_at_rest(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """All that there is, by its main thread; and nothing collects by itself once the model is there."""
    (tmp_path / "sitecustomize.py").write_text(NOTE)
    with Engine({"PYTHONPATH": str(tmp_path)}) as child:
        child.load(checkpoint("llama"), max_batch=2)
        child.finish([child.generate(TextPrompt(text="hello the world"), max_tokens=8)])
        said = wait_until(lambda: [line for line in child.stderr().splitlines() if "enabled=False" in line], "a rest")
    assert all(line == "collected by main enabled=False generation=2" for line in said)
