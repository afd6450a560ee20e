"""Which event loops a test runs on: asyncio's, and for those about transports uvloop's as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import uvloop

ON_BOTH = ("daemon/workers/", "daemon/http/test_http_time.py", "daemon/http/test_half_closed.py")
HERE = Path(__file__).parents[1]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.relative_to(HERE).as_posix().startswith(ON_BOTH):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
