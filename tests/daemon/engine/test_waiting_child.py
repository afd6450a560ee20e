"""A child that waits for its model: the process that will prepare prompts waits with it, and goes with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from support.engine_client import Engine
from support.process_use import dead
from support.waiting import wait_until

from mlx_serve.daemon import protocol


@pytest.fixture
def child() -> Iterator[Engine]:
    with Engine() as one:
        one.hello()
        yield one


def prompt_process(child: Engine) -> psutil.Process:
    """The one that the child has started."""

    def found() -> list[psutil.Process]:
        processes = psutil.Process(child.process.pid).children()
        return [each for each in processes if each.status() != psutil.STATUS_ZOMBIE]

    return wait_until(found, "the prompt process is there")[0]


def test_the_first_request_finds_its_imports_done(child: Engine, checkpoint: Callable[[str], Path]) -> None:
    """The process that prepares it is the one that was there before the load, and has the modules that it needs."""
    process = prompt_process(child)
    if sys.platform == "linux":
        wait_until(lambda: any("llguidance" in each.path for each in process.memory_maps()), "its imports are done")
    child.load(checkpoint("llama"))
    sequence = child.generate(protocol.TextPrompt(text="hello the world"), max_tokens=2)
    child.finish([sequence])
    assert sequence.finished is not None
    assert psutil.Process(child.process.pid).children() == [process]


def test_it_goes_with_a_child_that_is_killed(child: Engine) -> None:
    process = prompt_process(child)
    child.process.kill()
    wait_until(lambda: dead(process.pid), "the prompt process has ended")


def test_it_goes_with_a_child_whose_parent_is_gone(child: Engine) -> None:
    process = prompt_process(child)
    child._socket.close()
    assert child.process.wait(60) == 0
    wait_until(lambda: dead(process.pid), "the prompt process has ended")


def test_one_that_is_killed_is_replaced(child: Engine, checkpoint: Callable[[str], Path]) -> None:
    """Nobody has asked it anything yet, and nobody will notice."""
    process = prompt_process(child)
    process.kill()
    wait_until(lambda: prompt_process(child) != process, "there is another one")
    child.load(checkpoint("llama"))
    sequence = child.generate(protocol.TextPrompt(text="hello the world"), max_tokens=2)
    child.finish([sequence])
    assert sequence.finished is not None and child.stderr() == ""
