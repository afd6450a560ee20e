"""Gemma 4: `<|tool_call>call:weather{city:<|"|>Rome<|"|>,days:3}<tool_call|>`; FunctionGemma with other markers.

Gemma 4 thinks in a channel: `<|channel>thought` and a line feed, up to `<channel|>`. Gemma 3 has neither.
"""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family
from ..notation.python_calls import object_call

GEMMA4 = Family(
    name="gemma4",
    found=lambda template, added: "<|tool_call>" in template and "<tool_call|>" in template,
    calls=(CallBlock("<|tool_call>", object_call("call:", '<|"|>', "<tool_call|>")),),
    shape=CallShape("<|tool_call>call:", "", "<tool_call|>", arguments="gemma", quote='<|"|>'),
)
FUNCTION_GEMMA = Family(
    name="function-gemma",
    found=lambda template, added: "<start_function_call>" in template,
    calls=(CallBlock("<start_function_call>", object_call("call:", "<escape>", "<end_function_call>")),),
    shape=CallShape("<start_function_call>call:", "", "<end_function_call>", arguments="gemma", quote="<escape>"),
)
