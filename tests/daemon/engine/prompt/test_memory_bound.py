"""What a process holds, as the prompt process sees it of its workers."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from mlx_serve.daemon.engine.prompt.memory_bound import FOR_TEXT_BYTE, LEAST, allowance, resident


def test_what_a_process_holds_is_what_the_system_says() -> None:
    assert resident(os.getpid()) == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)


def test_a_process_that_is_gone_holds_nothing() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert resident(gone.pid) == 0


def test_long_texts_may_take_more() -> None:
    assert allowance(0) == LEAST
    assert allowance(1000, 10**6) == LEAST + FOR_TEXT_BYTE * 10**6
