"""A repository whose weights come in three pieces, and no thread of a download left after a test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from fakes.hub.faults import Fault
from fakes.hub.server import Hub
from support.hub_pulls import MB, PLACE, Files, MakeFiles
from support.waiting import wait_until


@pytest.fixture
def files(make_files: MakeFiles) -> Files:
    """Weights large enough for three pieces."""
    return make_files(12 * MB)


@pytest.fixture
def offer(hub: Hub) -> Callable[..., Hub]:
    def add(files: Files, *planned: Fault) -> Hub:
        hub.add("owner/name", files)
        for fault in planned:
            hub.fault(PLACE, fault)
        return hub

    return add


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    wait_until(lambda: not [each for each in threading.enumerate() if each.name.startswith("hub-")], "no thread")
