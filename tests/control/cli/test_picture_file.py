"""Pictures as files: which are taken, and how paths are found in what is typed."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from PIL import Image
from support.sent_pictures import png

from mlx_serve.control.cli import picture_file
from mlx_serve.control.cli.picture_file import PictureError, encoded, take_dropped


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures with plain and difficult names, in the current folder and the home."""
    for name in ("cat.png", "my cat.JPG", "it's.webp", "ünï (1).gif", "a&b.png", "notes.txt"):
        (tmp_path / name).write_bytes(png())
    (tmp_path / "folder.png").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("line", "rest", "paths"),
    [
        ("what is {}/cat.png", "what is", ["{}/cat.png"]),
        ("{}/cat.png what is it?", "what is it?", ["{}/cat.png"]),
        ("cat.png", "", ["cat.png"]),
        ("see ./cat.png, please", "see , please", ["./cat.png"]),
        ("what is in cat.png?", "what is in ?", ["cat.png"]),
        ("'{}/my cat.JPG' what?", "what?", ["{}/my cat.JPG"]),
        ('"{}/my cat.JPG" what?', "what?", ["{}/my cat.JPG"]),
        ("{}/my\\ cat.JPG what?", "what?", ["{}/my cat.JPG"]),
        ("'{}/it'\\''s.webp' what?", "what?", ["{}/it's.webp"]),
        ("{}/it\\'s.webp", "", ["{}/it's.webp"]),
        ("{}/ünï\\ \\(1\\).gif", "", ["{}/ünï (1).gif"]),
        ("{}/a\\&b.png", "", ["{}/a&b.png"]),
        ('"a&b.png"', "", ["a&b.png"]),
        ("~/cat.png", "", ["{}/cat.png"]),
        ("file://{}/my%20cat.JPG what?", "what?", ["{}/my cat.JPG"]),
        ("cat.png 'my cat.JPG' compare", "compare", ["cat.png", "my cat.JPG"]),
        ("what's in cat.png and isn't in a\\&b.png?", "what's in  and isn't in ?", ["cat.png", "a&b.png"]),
    ],
)
def test_paths_are_found_as_terminals_write_them(folder: Path, line: str, rest: str, paths: list[str]) -> None:
    found = take_dropped(line.format(folder))
    assert found == (rest, [path.format(folder) for path in paths])


@pytest.mark.parametrize(
    "line",
    [
        "what is a .png file?",
        "nothing.png",
        "/no/such/cat.png",
        "notes.txt",
        "folder.png",
        "~nobody-knows/cat.png",
        "x" * 5000 + ".png",
        "a\\",
        '"cat.png',
        "",
        "   ",
        "def f():\n    return 'a'\n",
    ],
)
def test_anything_else_stays_text(folder: Path, line: str) -> None:
    assert take_dropped(line) == (line, [])


def test_a_file_is_sent_as_it_is(folder: Path) -> None:
    assert base64.b64decode(encoded("cat.png")) == png()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_pictures_are_known_by_their_beginning(tmp_path: Path, form: str) -> None:
    """Not by their name."""
    path = tmp_path / "x"
    Image.new("RGB", (8, 8)).save(path, form)
    assert base64.b64decode(encoded(str(path))) == path.read_bytes()


@pytest.mark.parametrize("data", [b"", b"hello", b"<svg/>", b"%PDF-1.7", b"RIFF\0\0\0\0WAVE", b"\0\0\0\x1cftypisom"])
def test_other_files_are_refused_by_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(data)
    with pytest.raises(PictureError, match=r"x\.png is not a picture that can be shown; PNG, JPEG"):
        encoded(str(path))


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_file, "MAX_BYTES", 1 << 20)
    path = tmp_path / "x.png"
    path.write_bytes(png() + bytes(1 << 20))
    with pytest.raises(PictureError, match="larger than 1 MiB"):
        encoded(str(path))


def test_the_limit_is_the_daemons() -> None:
    from mlx_serve.daemon.fetching.fetch_limits import PICTURE_BYTES

    assert picture_file.MAX_BYTES == PICTURE_BYTES
