"""Apriel Thinker: `<tool_calls>[{"name": "weather", "arguments": {"city": "Rome"}}]</tool_calls>`.

What stands before `[BEGIN FINAL RESPONSE]` are its thoughts; the prompt opens them.
"""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family, Thoughts
from ..notation.objects import objects

APRIEL = Family(
    name="apriel",
    found=lambda template, added: "[BEGIN FINAL RESPONSE]" in template,
    thoughts=(Thoughts("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),),
    calls=(CallBlock("<tool_calls>", objects("</tool_calls>")),),
    layout=(("[BEGIN FINAL RESPONSE]", "[END FINAL RESPONSE]"),),
    shape=CallShape(
        '{"name": "', '", "arguments": ', "}", before="<tool_calls>[", between=", ", after="]</tool_calls>"
    ),
)
