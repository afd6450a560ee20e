"""The texts of arguments and the values that they stand for. What is no such text raises argparse.ArgumentTypeError,
with a sentence that names it."""

from __future__ import annotations

import argparse


def port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number between 1 and 65535")
    return int(text)


def whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def line_count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of lines")
    return int(text)


def streams(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if not all(each.isascii() and each.isdigit() and 0 < int(each) <= 1024 for each in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers of streams, such as 1,4,8")
    return tuple(sorted({int(each) for each in numbers}))


def token_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10_000_000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of tokens")
    return int(text)
