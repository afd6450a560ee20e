"""What tests do with the page at / in a browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from support.browser import Browser, Page

T = TypeVar("T")


class Visit(Protocol):
    """Opens the page and lets a function look at it."""

    def __call__(self, body: Callable[[Page], T]) -> Awaitable[T]: ...


def looked(browser: Browser, url: str, body: Callable[[Page], T], *, refused: bool = False) -> T:
    """At the end the browser has nothing to complain of (`refused`: but answers with 4xx), and has asked nobody else
    for anything."""
    page = browser.page(f"{url}/")
    page.wait("document.querySelector('#connection.well')")
    result = body(page)
    complaints = [text for text in page.complaints() if not (refused and "responded with a status of 4" in text)]
    assert complaints == []
    assert all(each.startswith(f"{url}/") for each in page.requested())
    page.close()
    return result


def ask(page: Page, text: str, *, wait: bool = True) -> None:
    """Type and send; `wait` until the answer is complete."""
    before = page.run("document.querySelectorAll('.answer').length")
    page.run("document.querySelector('#question').focus()")
    page.write(text)
    page.press("Enter")
    page.wait(f"document.querySelectorAll('.answer').length > {before}")
    if wait:
        page.wait("!document.querySelector('#send').hidden")
