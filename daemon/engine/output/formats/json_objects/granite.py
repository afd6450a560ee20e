"""Granite 3: `<|tool_call|>[{"name": "weather", "arguments": {"city": "Rome"}}]`, without an end marker.

With thinking the answer stands between `<response>` and `</response>`.
"""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family
from ..notation.objects import objects

GRANITE = Family(
    name="granite",
    found=lambda template, added: "<|start_of_role|>" in template and "<|tool_call|>" in template,
    calls=(CallBlock("<|tool_call|>", objects()), CallBlock("<tool_call>", objects("</tool_call>"))),
    layout=(("<response>", "</response>"),),
    shape=CallShape('{"name": "', '", "arguments": ', "}", before="<|tool_call|>[", between=", ", after="]"),
)
