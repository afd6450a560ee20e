"""Memory that files go through is used again, and not more of it stays than one prompt needs."""

from __future__ import annotations

import mlx.core as mx
import pytest

from mlx_serve.daemon.engine.prefix.ahead import at_once
from mlx_serve.daemon.engine.prefix.disk.reading.staging_buffer import StagingBuffers


@pytest.fixture
def buffers() -> StagingBuffers:
    return StagingBuffers(mx.new_stream(mx.cpu), at_once)


def test_one_that_is_large_enough_is_used_again(buffers: StagingBuffers) -> None:
    """The smallest of them; and one that is too small goes for a larger one."""
    small, large = buffers.take(100), buffers.take(1000)
    for one in (large, small):
        buffers.give_back(one)
    assert buffers.take(90) is small and buffers.take(90) is large and buffers.nbytes == 0
    buffers.give_back(small)
    assert buffers.take(200) not in (small, large) and buffers.nbytes == 0


def test_what_many_prompts_needed_at_once_does_not_stay(buffers: StagingBuffers) -> None:
    taken = [buffers.take(1000) for _ in range(20)]
    for one in taken:
        buffers.give_back(one)
    assert buffers.nbytes == 4 * 1000
    buffers.clear()
    assert buffers.nbytes == 0
