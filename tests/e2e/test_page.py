"""The page at / with the real daemon and real models, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import Browser, Page, found
from support.extent import only_long
from support.live_daemon import LiveDaemon
from support.page_visit import ask, looked

from mlx_serve.store.store import Store

SQUARE = Path(__file__).parents[2] / "docs" / "blue-square.png"

pytestmark = [
    pytest.mark.skipif(found() is None, reason="there is no Chromium here"),
    only_long,
]


@pytest.fixture(scope="module")
def looking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    directory = tmp_path_factory.mktemp("page") / "models"
    Store.open(directory).pull("starter-vl")
    with LiveDaemon(directory) as running:
        yield running.ready()


def test_a_chat_about_a_picture_and_what_the_panel_says_of_it(looking: LiveDaemon) -> None:
    """The model sees it, is then in memory, and its tokens a second were measured; a second question is about the same
    picture."""

    def look(page: Page) -> None:
        page.choose_files("#files", SQUARE)
        page.wait("document.querySelector('#pictures img')")
        ask(page, "What shape is this?")
        assert "square" in page.text(".prose")
        assert "prompt " in page.text(".figures") and "tokens/s" in page.text(".figures")
        page.wait("document.querySelector('.card.loaded h3')?.innerText === 'starter-vl'")
        page.wait("[...document.querySelectorAll('.speed polyline')].at(-1).getAttribute('points').match(/,(?!30\\b)/)")
        ask(page, "What colour is it?")
        assert "blue" in page.run("document.querySelectorAll('.prose')[1].innerText").lower()
        assert "running, none waiting" in page.text("#part-figures")

    with Browser() as browser:
        looked(browser, looking.url, look)
