"""Kimi K2: a section of calls, each with an id that is its name and a number.

`<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>{"city": "Rome"}` and the
end markers of call and section.
"""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family
from ..notation.named import NamedCall, named

BEGIN, END = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
CALL = NamedCall(
    begin="<|tool_call_begin|>", end="<|tool_call_argument_begin|>", close="<|tool_call_end|>", numbered=True
)

KIMI = Family(
    name="kimi-k2",
    found=lambda template, added: BEGIN in template,
    calls=(CallBlock(BEGIN, named(CALL, END)), CallBlock(CALL.begin, named(CALL), inclusive=True)),
    shape=CallShape(CALL.begin + "functions.", ":0" + CALL.end, CALL.close, before=BEGIN, after=END),
)
