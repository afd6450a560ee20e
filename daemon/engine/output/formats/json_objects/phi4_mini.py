"""Phi-4-mini: `<|tool_call|>{"name": "weather", "arguments": {"city": "Rome"}}<|/tool_call|>`, an array too."""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family
from ..notation.objects import objects

PHI4_MINI = Family(
    name="phi4-mini",
    found=lambda template, added: (
        "<|/tool_call|>" in template or ("<|/tool_call|>" in added and "<|tool|>" in template)
    ),
    calls=(CallBlock("<|tool_call|>", objects("<|/tool_call|>")), CallBlock("functools", objects())),
    shape=CallShape('<|tool_call|>{"name": "', '", "arguments": ', "}<|/tool_call|>"),
)
