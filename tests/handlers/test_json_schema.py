"""The bounds of a JSON schema."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlx_serve.handlers.failure import RequestError
from mlx_serve.handlers.json_schema import grammar


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
