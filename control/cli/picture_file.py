"""Pictures as files: read for a request, and found as paths in a line of the chat."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

MAX_BYTES = 20 << 20
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")

_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
_AFTER = ".,;:!?)"


class PictureError(Exception):
    """A file that cannot be sent as a picture; a sentence with its name."""


class Dropped:
    """A path in a line of text, from `start` to `end`."""

    def __init__(self, path: str, start: int, end: int) -> None:
        self.path = path
        self.start = start
        self.end = end


def encoded(path: str) -> str:
    """The file in base64. Raises PictureError."""
    from base64 import b64encode

    try:
        with open(path, "rb") as file:
            _check(path, file)
            return b64encode(file.read()).decode()
    except OSError as error:
        raise PictureError(f"{path}: {error.strerror or error}") from error


def _check(path: str, file: BinaryIO) -> None:
    head = file.read(32)
    if not _is_picture(head):
        raise PictureError(f"{path} is not a picture that can be shown; PNG, JPEG, WebP, GIF, BMP and TIFF can")
    if file.seek(0, os.SEEK_END) > MAX_BYTES:
        raise PictureError(f"{path} is larger than {MAX_BYTES >> 20} MiB; make the picture smaller")
    file.seek(0)


def _is_picture(head: bytes) -> bool:
    """By its first bytes; whether it is whole, the daemon says."""
    return head.startswith(_SIGNATURES) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")


def take_dropped(text: str) -> tuple[str, list[str]]:
    """The text without the paths of pictures in it, and the paths: of files that exist and have a picture's suffix.

    As terminals write what is dropped on them: quoted, with escaped blanks, or as a file: URL.
    """
    found = [each for word in _words(text) if (each := _picture_path(text, word)) is not None]
    for each in reversed(found):
        text = text[: each.start] + text[each.end :]
    return (text.strip() if found else text), [each.path for each in found]


def _picture_path(text: str, word: Dropped) -> Dropped | None:
    path, end = word.path, word.end
    if text[word.end - 1] == path[-1:] and not path.lower().endswith(SUFFIXES):
        path = path.rstrip(_AFTER)  # a sentence may end behind the path
        end -= len(word.path) - len(path)
    if not path.lower().endswith(SUFFIXES):
        return None
    if path.lower().startswith("file://"):
        from urllib.parse import unquote, urlsplit

        path = unquote(urlsplit(path).path)
    path = os.path.expanduser(path)  # noqa: PTH111 (Path raises for a user that nobody knows)
    return Dropped(path, word.start, end) if os.path.isfile(path) else None  # noqa: PTH113 (or a name too long)


def _words(text: str) -> list[Dropped]:
    """The words of a shell's command line, but for apostrophes within words, as sentences have them."""
    words: list[Dropped] = []
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        word = _word(text, place)
        words.append(word)
        place = word.end
    return words


def _word(text: str, start: int) -> Dropped:
    value = ""
    place = start
    plain = False
    while place < len(text) and not text[place].isspace():
        letter = text[place]
        if letter in "'\"" and not plain and (close := _closing(text, place)) > 0:
            quoted = text[place + 1 : close]
            value += quoted if letter == "'" else _unescaped(quoted, '"\\$`')
            place = close + 1
        elif letter == "\\" and place + 1 < len(text):
            value += text[place + 1]
            place += 2
            plain = False
        else:
            value += letter
            place += 1
            plain = True
    return Dropped(value, start, place)


def _closing(text: str, place: int) -> int:
    """Where a quotation ends, -1 where it does not."""
    mark, place = text[place], place + 1
    while place < len(text) and text[place] != mark:
        place += 2 if mark == '"' and text[place] == "\\" else 1
    return place if place < len(text) else -1


def _unescaped(text: str, special: str) -> str:
    value, place = "", 0
    while place < len(text):
        if text[place] == "\\" and text[place + 1 : place + 2] and text[place + 1] in special:
            place += 1
        value += text[place]
        place += 1
    return value
