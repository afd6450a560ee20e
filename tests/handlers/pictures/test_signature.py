"""What is told by the first bytes of a file."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from support.sent_pictures import png

from mlx_serve.handlers.pictures.signature import problem


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "JPEG2000", "AVIF"])
def test_pictures_pass(form: str) -> None:
    made = io.BytesIO()
    Image.open(io.BytesIO(png(size=16))).save(made, form)
    assert problem(made.getvalue()) is None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty"),
        (b"%PDF-1.7\n", "it is a PDF document"),
        (b"PK\x03\x04\x14", "it is a ZIP archive"),
        (b"\x1f\x8b\x08", "it is compressed with gzip"),
        (b"\x00\x00\x00\x20ftypisom", "it is a video"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "it is a video"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "it is audio"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is an SVG drawing"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- x --><svg\n width='9'/>", "it is an SVG drawing"),
        (b"<svg/>", "it is an SVG drawing"),
        ("<svg >".encode("utf-16"), "it is an SVG drawing"),
        (b"\n<!DOCTYPE html><title>Not found</title>", "it is a web page"),
        (b"<html><body>", "it is a web page"),
        (b'{"error": "not found"}', "it is text"),
        ("Grüße".encode(), "it is text"),
        (b"x" * 511 + "ü".encode(), "it is text"),
    ],
)
def test_what_is_no_picture_is_called_by_its_name(data: bytes, said: str) -> None:
    why = problem(data)
    assert why is not None and why.startswith(said)


@pytest.mark.parametrize("data", [b"\x00\x01\x02", b"\xff\xd8\xff", b"\x89PNG", b"abc\x00def"])
def test_bytes_that_are_unknown_are_left_to_the_engine(data: bytes) -> None:
    assert problem(data) is None
