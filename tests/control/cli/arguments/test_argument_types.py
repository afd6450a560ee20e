"""What the texts of arguments stand for, and which are refused."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from mlx_serve.control.cli.arguments.argument_types import line_count, port, streams, token_count, whole

TAKEN: list[tuple[Callable[[str], object], str, object]] = [
    (port, "65535", 65535),
    (whole, "0", 0),
    (line_count, "020", 20),
    (streams, "8,1,4,8", (1, 4, 8)),
    (token_count, "9999999", 9_999_999),
]
REFUSED: list[tuple[Callable[[str], object], str]] = [
    *((each, text) for each in (port, whole, line_count, streams, token_count) for text in ("", "-1", "1.5", "x", "²")),
    *((port, text) for text in ("0", "65536")),
    *((streams, text) for text in ("0", "1,", "1,1025")),
    *((token_count, text) for text in ("0", "10000000")),
]


@pytest.mark.parametrize(("read", "text", "value"), TAKEN)
def test_a_text_becomes_its_value(read: Callable[[str], object], text: str, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(("read", "text"), REFUSED)
def test_a_text_that_is_none_is_named(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        read(text)
    assert repr(text) in str(caught.value)
