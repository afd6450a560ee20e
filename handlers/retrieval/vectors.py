"""Vectors as JSON: lists of numbers, or base64 of little-endian float32. Many of them hold nobody up."""

from __future__ import annotations

import asyncio
import sys
from array import array
from base64 import b64encode
from collections.abc import AsyncIterator

from ...daemon.protocol import Embedded

AT_ONCE = 1 << 16  # numbers that are written before others have their turn


async def numbers(event: Embedded) -> AsyncIterator[list[float]]:
    """Each vector, in the order of the inputs."""
    written = 0
    for vector in _bytes(event):
        values = array("f")
        values.frombytes(vector)
        if sys.byteorder == "big":
            values.byteswap()
        yield values.tolist()
        written += event.dimensions
        if written >= AT_ONCE:
            written = 0
            await asyncio.sleep(0)


def encoded(event: Embedded) -> list[str]:
    """Each vector in base64."""
    return [b64encode(vector).decode() for vector in _bytes(event)]


def _bytes(event: Embedded) -> list[memoryview]:
    size = 4 * event.dimensions
    whole = memoryview(event.vectors)
    return [whole[start : start + size] for start in range(0, len(whole), size)]
