"""A fake daemon on a free port, and a client for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from fakes.serving import Serving, daemon


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncGenerator[Serving]:
    async with daemon(tmp_path) as running:
        yield running


@pytest.fixture
async def client(serving: Serving) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=serving.url, trust_env=False, verify=False) as http:
        yield http
