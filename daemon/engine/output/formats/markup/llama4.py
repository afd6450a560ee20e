"""Llama 4: an answer that is `[weather(city="Rome"), time()]`, bare or between `<|python_start|>` and its end."""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family
from ..notation.cursor import either
from ..notation.objects import objects
from ..notation.python_calls import python_calls

_END = "<|python_end|>"

LLAMA4 = Family(
    name="llama4",
    found=lambda template, added: "<|header_start|>" in template,
    calls=(
        CallBlock("<|python_start|>", either(("{", objects(_END)), ("", python_calls(_END)))),
        CallBlock("[", python_calls(), bare=True, inclusive=True),
        CallBlock("{", objects(), bare=True, inclusive=True),
    ),
    shape=CallShape("", "(", ")", before="[", between=", ", after="]", arguments="python"),
)
