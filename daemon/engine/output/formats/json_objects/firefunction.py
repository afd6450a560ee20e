"""Firefunction 2: ` functools[{"name": "weather", "arguments": {"city": "Rome"}}]`."""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family
from ..notation.objects import objects

FIREFUNCTION = Family(
    name="firefunction",
    found=lambda template, added: "functools[" in template,
    calls=(CallBlock("functools", objects()),),
    shape=CallShape('{"name": "', '", "arguments": ', "}", before=" functools[", between=", ", after="]"),
)
