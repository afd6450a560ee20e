"""Parts of a response that are written without a wait."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mlx_serve.daemon.http.outlet import Outlet


@pytest.mark.parametrize(
    ("behind", "closing", "open_"), [(False, False, True), (True, False, False), (False, True, False)]
)
def test_it_is_open_while_the_client_is_there_and_reads(behind: bool, closing: bool, open_: bool) -> None:
    transport = SimpleNamespace(is_closing=lambda: closing)
    peer: Any = SimpleNamespace(behind=behind, transport=transport)
    assert Outlet(peer, bytes).open is open_


def test_a_part_is_framed_and_written_when_its_turn_comes() -> None:
    written: list[bytes] = []
    peer: Any = SimpleNamespace(behind=False, transport=SimpleNamespace(write=written.append))
    write = Outlet(peer, lambda data: b"<" + data + b">").prepared(b"one")
    assert written == []
    write()
    assert written == [b"<one>"]
