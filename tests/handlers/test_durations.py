"""Durations in Go's notation, as Ollama's keep_alive has them."""

from __future__ import annotations

from typing import Any

import pytest

from mlx_serve.handlers.durations import keep_alive
from mlx_serve.handlers.failure import RequestError


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        (0, 0.0),
        (-1, -1.0),
        (1.5, 1.5),
        ("0", 0.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("-1s", -1.0),
        ("1.5h", 5400.0),
        (".5s", 0.5),
        ("100ms", 0.1),
        ("+2s", 2.0),
        (10**30, 2**63 / 1e9),
        (-(10**30), -1.0),
    ],
)
def test_durations(value: Any, seconds: float | None) -> None:
    assert keep_alive(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("300", 'time: missing unit in duration "300"'),
        ("", 'time: invalid duration ""'),
        ("m", 'time: invalid duration "m"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("9999999999h", 'time: invalid duration "9999999999h"'),
        (True, "Unsupported type: 'bool'"),
        ([1], "Unsupported type: '[]interface {}'"),
        ({}, "Unsupported type: 'map[string]interface {}'"),
    ],
)
def test_durations_that_are_none(value: Any, message: str) -> None:
    """Go's own words."""
    with pytest.raises(RequestError) as refusal:
        keep_alive(value)
    assert str(refusal.value) == message and refusal.value.param == "keep_alive"
