"""Properties of the output: terminal or not, colours, size."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


def is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:
        return False


def colours(stream: TextIO) -> bool:
    """https://no-color.org: any value of NO_COLOR that is not empty turns them off."""
    return not os.environ.get("NO_COLOR") and is_terminal(stream)


def width(stream: TextIO, default: int = 80) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or default
    except (OSError, ValueError):
        return default


def height(stream: TextIO, default: int = 24) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).lines or default
    except (OSError, ValueError):
        return default


def dim(text: str, stream: TextIO) -> str:
    return f"\x1b[2m{text}\x1b[0m" if colours(stream) else text


def clean(text: str) -> str:
    """Text without control characters, so that a model or a file cannot send terminal escapes."""
    return "".join(character for character in text if character in "\n\t" or not _is_control(ord(character)))


def _is_control(code: int) -> bool:
    return code < 32 or 127 <= code < 160


def note(text: str) -> None:
    """A message on stderr, not part of the output."""
    print(text, file=sys.stderr, flush=True)
