"""Residencies of fake runners that every test must leave without a process, and a clock moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.residency_harness import Build, Clock, ResidencyHarness
from support.waiting import GUARD

from mlx_serve.daemon.settings.effective_settings import load_settings


@pytest.fixture
async def build(tmp_path: Path) -> AsyncIterator[Build]:
    """Makes harnesses; afterwards each is closed and must leave no runner behind."""
    made: list[ResidencyHarness] = []
    settings = load_settings({}, {"MLX_SERVE_HOME": str(tmp_path)})

    def make(**sections: Any) -> ResidencyHarness:
        made.append(ResidencyHarness(settings, **sections))
        return made[-1]

    yield make
    for harness in made:
        for gate in [*harness.fleet.gates.values(), *harness.fleet.close_gates.values()]:
            gate.set()
        await asyncio.wait_for(harness.pulls.close(), GUARD)
        await asyncio.wait_for(harness.residency.close(), GUARD)
        assert harness.fleet.left == []


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)
