"""Hermes 2 and 3, Qwen 2.5 and 3, QwQ, SmolLM3, MiMo, Bielik, Granite 4 and many more.

<tool_call>
{"name": "weather", "arguments": {"city": "Rome"}}
</tool_call>
"""

from __future__ import annotations

from ....grammar.call_shape import HERMES as SHAPE
from ..family import CallBlock, Family
from ..markup.qwen_xml import QWEN_ELEMENTS
from ..notation.cursor import either
from ..notation.elements import elements
from ..notation.objects import objects

OPENER, CLOSER = "<tool_call>", "</tool_call>"

# Models that were trained on both notations mix them.
READ = either((QWEN_ELEMENTS.call, elements(QWEN_ELEMENTS, CLOSER)), ("", objects(CLOSER)))

HERMES = Family(
    name="hermes",
    found=lambda template, added: OPENER in template,
    calls=(CallBlock(OPENER, READ, closer=CLOSER),),
    shape=SHAPE,
)
