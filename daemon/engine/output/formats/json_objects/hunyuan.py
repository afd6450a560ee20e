"""Hunyuan: `<tool_calls>[{"name": "weather", "arguments": {"city": "Rome"}}]</tool_calls>`.

The answer may stand between `<answer>` and `</answer>`, and begins with "assistant:" in Chinese where there are tools.
"""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family
from ..notation.objects import objects

HUNYUAN = Family(
    name="hunyuan",
    found=lambda template, added: "<tool_calls>" in template and "<|extra_0|>" in template,
    calls=(CallBlock("<tool_calls>", objects("</tool_calls>")), CallBlock("<tool_call>", objects("</tool_call>"))),
    layout=(("<answer>", "</answer>"), ("助手：", "")),
    shape=CallShape(
        '{"name": "', '", "arguments": ', "}", before="<tool_calls>[", between=", ", after="]</tool_calls>"
    ),
)
