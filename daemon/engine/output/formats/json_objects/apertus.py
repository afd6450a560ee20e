"""Apertus: `<|tools_prefix|>[{"weather": {"city": "Rome"}}]<|tools_suffix|>`, thoughts between its inner markers."""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family
from ..notation.objects import objects

APERTUS = Family(
    name="apertus",
    found=lambda template, added: "<|tools_prefix|>" in template,
    calls=(CallBlock("<|tools_prefix|>", objects("<|tools_suffix|>", keyed=True)),),
    shape=CallShape('{"', '": ', "}", before="<|tools_prefix|>[", between=", ", after="]<|tools_suffix|>"),
)
