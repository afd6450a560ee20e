"""The pointer by which a library calls a function of another one is found, and nothing else is taken for it."""

from __future__ import annotations

import ctypes
import struct
import sys
from pathlib import Path

import mlx.core as mx
import pytest

from mlx_serve.daemon.engine.cpu import jump_slot
from mlx_serve.daemon.engine.cpu.few_rows_sgemm import LIBRARY, SYMBOL
from mlx_serve.daemon.engine.cpu.jump_slot import Mapping, find, mappings, slot_of

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or mx.default_device() != mx.Device(mx.DeviceType.cpu), reason="MLX on a processor of Linux"
)
Sgemm = ctypes.CFUNCTYPE(
    None,
    *[ctypes.c_int] * 6,
    *(ctypes.c_float, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_int),
    *(ctypes.c_float, ctypes.c_void_p, ctypes.c_int),
)


def multiply() -> list[float]:
    product = mx.array([[1.0, 2.0]]) @ mx.array([[3.0, 4.0], [5.0, 6.0]]).T
    found: list[float] = product[0].tolist()  # type: ignore[assignment]
    return found


def library() -> Path:
    return Path(next(part.path for part in mappings() if Path(part.path).name == LIBRARY))


def test_what_is_put_there_is_called() -> None:
    """By MLX, with its arguments."""
    assert multiply() == [11.0, 17.0]
    slot = find(LIBRARY, SYMBOL)
    assert slot is not None
    before, sizes = slot.target, list[tuple[int, ...]]()
    real = Sgemm(before)

    @Sgemm
    def counted(*arguments: float) -> None:
        sizes.append(tuple(int(one) for one in arguments[3:6]))
        real(*arguments)

    address = ctypes.cast(counted, ctypes.c_void_p).value
    assert address is not None
    slot.target = address
    try:
        assert multiply() == [11.0, 17.0]
    finally:
        slot.target = before
    assert sizes == [(1, 2, 2)] and multiply() == [11.0, 17.0] and len(sizes) == 1


def test_what_is_no_slot() -> None:
    """Libraries that are not loaded, functions that are not called or are a library's own."""
    multiply()
    assert find("libnothing.so", SYMBOL) is None
    assert find(LIBRARY, "cblas_nothing") is None
    assert find(LIBRARY, "cblas_sgem") is None, "the beginning of a name is another name"
    assert find(Path(sys.executable).name, SYMBOL) is None


def test_a_slot_that_nobody_may_write_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a library was linked so that its pointers are closed once they are set."""
    multiply()
    closed = [Mapping(one.begin, one.end, False, one.offset, one.path) for one in mappings()]
    monkeypatch.setattr(jump_slot, "mappings", lambda: closed)
    assert find(LIBRARY, SYMBOL) is None


def test_a_slot_that_holds_something_else() -> None:
    """As before its first use, when it leads to what looks for the function; or where another program was here."""
    multiply()
    slot = find(LIBRARY, SYMBOL)
    assert slot is not None
    before, slot.target = slot.target, slot.target + 16
    try:
        assert find(LIBRARY, SYMBOL) is None
    finally:
        slot.target = before
    assert find(LIBRARY, SYMBOL) is not None


def test_other_files() -> None:
    """Those that are no library of this kind, and one without anything that it calls."""
    content = library().read_bytes()
    assert slot_of(content, SYMBOL) is not None
    assert slot_of(b"\xcf\xfa\xed\xfe" + content[4:], SYMBOL) is None
    assert slot_of(b"#!/bin/sh\n" * 10, SYMBOL) is None
    headers, size, count = *struct.unpack_from("<Q", content, 32), *struct.unpack_from("<HH", content, 54)
    changed = bytearray(content)
    for number in range(count):
        if struct.unpack_from("<I", content, headers + number * size) == (2,):
            struct.pack_into("<I", changed, headers + number * size, 0)
    assert slot_of(bytes(changed), SYMBOL) is None
