"""A child process that has loaded a model."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from support.runner_process import load, spawn
from support.waiting import GUARD

from mlx_serve.daemon.workers.runner import Runner


@pytest.fixture
async def child() -> AsyncIterator[Runner]:
    """A loaded child that is well."""
    one = await spawn()
    await one.load(load("acme/model"), GUARD)
    yield one
    await one.close()
