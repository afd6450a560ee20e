"""Command-R and its successors.

Command-R7B and Cohere2 MoE write
`<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "weather", "parameters": {"city": "Rome"}}]<|END_ACTION|>`,
with the answer between markers; Command-R+ writes the same array in a code block behind `Action:`.
"""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family
from ..notation.objects import objects

COMMAND_R7B = Family(
    name="command-r7b",
    found=lambda template, added: "<|START_ACTION|>" in template,
    efforts={"none": "none"},
    calls=(CallBlock("<|START_ACTION|>", objects("<|END_ACTION|>")),),
    layout=(("<|START_RESPONSE|>", "<|END_RESPONSE|>"), ("<|START_TEXT|>", "<|END_TEXT|>")),
    shape=CallShape(
        '{"tool_call_id": "0", "tool_name": "', '", "parameters": ', "}",
        before="<|START_ACTION|>[\n    ", between=",\n    ", after="\n]<|END_ACTION|>",
    ),
)  # fmt: skip

COMMAND_R_PLUS = Family(
    name="command-r-plus",
    found=lambda template, added: "tool_name" in template and "Action:" in template and "```json" in template,
    calls=(CallBlock("Action:", objects()),),
    shape=CallShape(
        '{\n        "tool_name": "', '",\n        "parameters": ', "\n    }",
        before="Action:\n```json\n[\n    ", between=",\n    ", after="\n]```",
    ),
)  # fmt: skip
