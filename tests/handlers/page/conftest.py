"""A browser for all tests of the page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from fakes.serving import Serving
from support.browser import Browser, Page, found
from support.page_visit import Visit, looked

T = TypeVar("T")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if found() is None:
        pytest.skip("there is no Chromium here")
    with Browser() as running:
        yield running


@pytest.fixture
def visit(browser: Browser, serving: Serving) -> Visit:
    """Of the fake daemon, in a thread of its own."""

    async def look(body: Callable[[Page], T]) -> T:
        return await asyncio.to_thread(looked, browser, serving.url, body, refused=True)

    return look
