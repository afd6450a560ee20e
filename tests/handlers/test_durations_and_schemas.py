"""Go's durations, the bounds of a schema, and sentences without paths."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlx_serve.handlers.durations import keep_alive
from mlx_serve.handlers.failure import RequestError, clip, sentence
from mlx_serve.handlers.json_schema import grammar


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


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"a": schema}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {"x": "y" * 70_000},
        {"required": ["x"] * 1001},
        {"properties": {str(i): {} for i in range(1001)}},
        deep(40),
        {"a": [{"b": [{}] * 900} for _ in range(6)]},
        {"anyOf": [{"$ref": "#"}] * 300},
        {"pattern": "a" * 513},
        [],
        "text",
    ],
)
def test_schemas_that_cost_too_much(schema: Any) -> None:
    """What would end or stall the compiler is refused before it gets there."""
    with pytest.raises(RequestError) as refusal:
        grammar(json.dumps(schema).encode(), "format")
    assert refusal.value.param == "format"


def test_a_schema_arrives_as_it_was_written() -> None:
    source = b'{"type": "object", "properties": {"b": {}, "a": {}}}'
    assert grammar(source, "format").source == source.decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cannot read /home/me/x.json: gone", "cannot read …: gone"),
        ("at ~/.mlx-serve/models/blobs", "at …"),
        (
            "model 'acme/parrot' and https://example.org/a/b stay",
            "model 'acme/parrot' and https://example.org/a/b stay",
        ),
        ("use /v1/completions or /api/generate", "use /v1/completions or /api/generate"),
    ],
)
def test_sentences_name_no_path(text: str, expected: str) -> None:
    """Paths of this machine go; names, addresses and endpoints stay."""
    assert sentence(text) == expected


def test_sentences_end() -> None:
    assert len(clip("x" * 5000)) == 500
