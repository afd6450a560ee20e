"""Base64 and percent-encoding, decoded in pieces and strictly."""

from __future__ import annotations

import binascii
import textwrap
from typing import Any

import pytest
from support.sent_pictures import encoded, noise

from mlx_serve.daemon.fetching.fetch_limits import PICTURE_BYTES
from mlx_serve.handlers.failure import RequestError
from mlx_serve.handlers.pictures import inline_data
from mlx_serve.handlers.pictures.inline_data import check_size, decoded
from mlx_serve.handlers.pictures.picture_source import Inline, of_url


def base64(text: str) -> Inline:
    return Inline(text, 0, True, "images[0]")


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 98, 99, 100, 101, 1000])
@pytest.mark.parametrize("piece", [1, 3, 4, 7, 64])
def test_pieces_of_any_size_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch, size: int, piece: int) -> None:
    """With its padding, without it, in lines and with what stands before it in a data URL."""
    monkeypatch.setattr(inline_data, "PIECE", piece)
    data = noise(size)
    text = encoded(data)
    for given in (text, text.rstrip("="), "\r\n".join(textwrap.wrap(text, 76)), f"\t{text} \n"):
        assert decoded(base64(given)) == data
    assert decoded(of_url(f"data:image/png;base64,{text}", "p")) == data  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["A", "AAAAA", "AA*A", "AA=A", "=AAA", "====", "AA==AAAA", "AA==A", "AA===", "A-_A", "AAAA=", "AAé="],
)
@pytest.mark.parametrize("piece", [2, 4, 64])
def test_anything_else_is_not_base64(monkeypatch: pytest.MonkeyPatch, text: str, piece: int) -> None:
    monkeypatch.setattr(inline_data, "PIECE", piece)
    with pytest.raises(RequestError, match="it is not valid base64") as refused:
        decoded(base64(text))
    assert refused.value.param == "images[0]"


def test_no_piece_that_is_decoded_at_once_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter's lock is held while one is decoded, so the event loop waits no longer than for one piece."""
    sizes: list[int] = []
    decode = binascii.a2b_base64

    def note(data: bytes, **more: Any) -> bytes:
        sizes.append(len(data))
        return decode(data, **more)

    monkeypatch.setattr(binascii, "a2b_base64", note)
    data = noise(5 << 20)
    assert decoded(base64(encoded(data))) == data
    assert len(sizes) >= 5 and max(sizes) <= inline_data.PIECE


def test_percent_encoding_is_undone() -> None:
    assert decoded(Inline("%89PNG%0d%0Ax", 0, False, "p")) == b"\x89PNG\r\nx"
    assert decoded(base64("%41AA%3D")) == b"\x00\x00"


@pytest.mark.parametrize("text", ["%", "%4", "%zz", "a%4gb", "é", "%41" * 400_000])
def test_bad_percent_encoding_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match=r"percent-encoded"):
        decoded(Inline(text, 0, False, "p"))


def test_a_picture_of_more_than_20_mib_is_refused_before_all_of_it_is_decoded() -> None:
    largest = noise(PICTURE_BYTES)
    assert len(decoded(base64(encoded(largest)))) == PICTURE_BYTES
    with pytest.raises(RequestError, match="larger than 20 MiB"):
        decoded(base64(encoded(largest + b"x")))


def test_a_text_that_is_far_too_long_is_refused_at_once() -> None:
    check_size(base64("A" * (2 * PICTURE_BYTES)))
    with pytest.raises(RequestError, match="larger than 20 MiB"):
        check_size(base64("A" * (4 * PICTURE_BYTES)))
