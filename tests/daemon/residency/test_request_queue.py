"""How many requests may wait, and what those are told that may not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlx_serve.daemon.errors import QueueFull
from mlx_serve.daemon.residency.request_queue import Queue, RequestQueue
from mlx_serve.daemon.settings.effective_settings import load_settings
from mlx_serve.daemon.settings.schema import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Four at a time, and two may wait."""
    found = load_settings({}, {"MLX_SERVE_HOME": str(tmp_path)})
    return replace(found, engine=replace(found.engine, max_batch=4), server=replace(found.server, max_queue=2))


def slot(leases: int, successors: int = 0) -> Any:
    return SimpleNamespace(leases=leases, successors=successors)


def seconds_told(queue: RequestQueue, leases: int) -> int:
    with pytest.raises(QueueFull) as caught:
        queue.check(slot(leases), leases)
    return int(caught.value.retry_after)


def test_what_is_beyond_the_batch_waits(settings: Settings) -> None:
    """Each model has a batch of its own; who wants a model again that is on its way out waits too."""
    assert RequestQueue(settings).of([slot(3), slot(6), slot(1, successors=2)]) == Queue(8, 4, 2)


def test_one_more_than_may_wait_is_refused_until_the_settings_allow_it(settings: Settings) -> None:
    queue = RequestQueue(settings)
    queue.check(slot(5), 5)
    assert seconds_told(queue, 6) == 1
    queue.configure(replace(settings, server=replace(settings.server, max_queue=3)))
    queue.check(slot(6), 6)


def test_the_time_until_a_place_is_free_follows_how_long_requests_take(settings: Settings) -> None:
    """A minute at most."""
    queue = RequestQueue(settings)
    for _ in range(200):
        queue.finished(20.0)
    assert seconds_told(queue, 6) == 10  # two are ahead, and in 20 s four are done
    for _ in range(200):
        queue.finished(1000.0)
    assert seconds_told(queue, 6) == 60
