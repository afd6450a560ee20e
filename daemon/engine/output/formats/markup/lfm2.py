"""LFM2: `<|tool_call_start|>[weather(city="Rome")]<|tool_call_end|>`."""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family
from ..notation.cursor import either
from ..notation.objects import objects
from ..notation.python_calls import python_calls

_SIGNS = ("<|tool_list_start|>", "<|tool_call_start|>", '"List of tools: ["')
_START, _END = "<|tool_call_start|>", "<|tool_call_end|>"

LFM2 = Family(
    name="lfm2",
    found=lambda template, added: any(sign in template for sign in _SIGNS) or _START in added,
    calls=(CallBlock(_START, either(("{", objects(_END)), ("[{", objects(_END)), ("", python_calls(_END)))),),
    shape=CallShape("", "(", ")", before=_START + "[", between=", ", after="]" + _END, arguments="python"),
)
