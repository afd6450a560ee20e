"""Nemotron Nano 2 and its like: `<TOOLCALL>[{"name": "weather", "arguments": {"city": "Rome"}}]</TOOLCALL>`.

Nemotron 3 writes calls as Qwen3-Coder does.
"""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family
from ..notation.objects import objects

NEMOTRON = Family(
    name="nemotron",
    found=lambda template, added: "<TOOLCALL>" in template,
    calls=(CallBlock("<TOOLCALL>", objects("</TOOLCALL>")),),
    shape=CallShape('{"name": "', '", "arguments": ', "}", before="<TOOLCALL>[", between=", ", after="]</TOOLCALL>"),
)
