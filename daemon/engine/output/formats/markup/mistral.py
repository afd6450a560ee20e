"""Mistral's models.

Nemo and its time: `[TOOL_CALLS][{"name": "weather", "arguments": {"city": "Rome"}, "id": "…"}]`. Small 3.2, Devstral
and Ministral 3: `[TOOL_CALLS]weather[ARGS]{"city": "Rome"}` for each call, in some with `[CALL_ID]` and an id inside.
Magistral and Ministral's reasoning models think between `[THINK]` and `[/THINK]`.
"""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family
from ..notation.cursor import either
from ..notation.named import NamedCall, named
from ..notation.objects import objects

OPENER = "[TOOL_CALLS]"
CALL = NamedCall(end="[ARGS]", aside="[CALL_ID]", optional_end=True)
READ = either(("[", objects()), ("{", objects()), ("", named(CALL, again=OPENER)))

MISTRAL = Family(
    name="mistral",
    found=lambda template, added: "[ARGS]" in template or ("[ARGS]" in added and OPENER in added),
    calls=(CallBlock(OPENER, READ),),
    shape=CallShape(OPENER, "[ARGS]", ""),
)
MISTRAL_NEMO = Family(
    name="mistral-nemo",
    found=lambda template, added: OPENER in template or OPENER in added,
    calls=(CallBlock(OPENER, READ),),
    shape=CallShape('{"name": "', '", "arguments": ', "}", before="[TOOL_CALLS][", between=", ", after="]"),
)
