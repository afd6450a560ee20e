"""What counts as a picture's URL or base64, and how the rest is refused."""

from __future__ import annotations

import pytest

from mlx_serve.handlers.failure import RequestError
from mlx_serve.handlers.pictures.picture_source import Inline, Remote, of_base64, of_url


def test_urls_of_the_web_are_fetched_later() -> None:
    assert of_url(" HTTPS://example.com/a.png\n", "p", "low") == Remote("HTTPS://example.com/a.png", "p", "low")
    assert of_url("http://example.com", "p") == Remote("http://example.com", "p")


@pytest.mark.parametrize(
    ("head", "base64"),
    [
        ("data:image/png;base64,", True),
        ("DATA:Image/PNG;charset=utf-8;BASE64,", True),
        ("data:image/svg+xml,", False),
        ("data:image/x-icon;name=a.ico,", False),
    ],
)
def test_data_urls_know_how_they_are_encoded(head: str, base64: bool) -> None:
    assert of_url(f"{head}AAAA", "p") == Inline(f"{head}AAAA", len(head), base64, "p")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "it is empty"),
        ("  ", "it is empty"),
        ("x", "it is not a URL"),
        ("/etc/passwd", "it is not a URL"),
        ("//example.com/a.png", "it is not a URL"),
        ("iVBORw0KGgo=", "it is not a URL"),
        ("file:///etc/passwd", "file: URLs are not supported"),
        ("FTP://example.com/a.png", "ftp: URLs are not supported"),
        ("javascript:alert(1)", "javascript: URLs are not supported"),
        ("data:image/png;base64", "it is not a valid data: URL"),
        ("data:image/png;base64" + "A" * 2000 + ",AAAA", "it is not a valid data: URL"),
        ("data:,AAAA", "its media type is not a picture's"),
        ("data:;base64,AAAA", "its media type is not a picture's"),
        ("data:text/plain;base64,AAAA", "its media type is not a picture's"),
        ("data:application/pdf;base64,AAAA", "its media type is not a picture's"),
    ],
)
def test_other_urls_are_refused_by_name(url: str, said: str) -> None:
    with pytest.raises(RequestError, match=said) as refused:
        of_url(url, "messages[3].content[1].image_url.url")
    assert (refused.value.param, refused.value.status) == ("messages[3].content[1].image_url.url", 400)


def test_base64_may_stand_alone_or_in_a_data_url() -> None:
    assert of_base64("AAAA", "p") == Inline("AAAA", 0, True, "p")
    assert of_base64("data:image/png;base64,AAAA", "p") == Inline("data:image/png;base64,AAAA", 22, True, "p")


@pytest.mark.parametrize(
    ("text", "said"), [("", "it is empty"), ("https://example.com/a.png", "URLs are not fetched here")]
)
def test_what_is_not_base64_is_refused(text: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        of_base64(text, "images[0]")
