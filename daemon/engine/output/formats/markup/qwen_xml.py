"""Qwen3-Coder, Qwen3.5, Step 3.5, Nemotron 3; Seed-OSS with markers of its own.

<tool_call>
<function=weather>
<parameter=city>
Rome
</parameter>
</function>
</tool_call>
"""

from __future__ import annotations

from dataclasses import replace

from ....grammar.call_shape import QWEN_CODER
from ..family import CallBlock, CallShape, Family
from ..notation.cursor import either
from ..notation.elements import Elements, elements
from ..notation.objects import objects

QWEN_ELEMENTS = Elements(
    call="<function=",
    call_end=">",
    key="<parameter=",
    key_end=">",
    value_end="</parameter>",
    close="</function>",
    lines=True,
)
OPENER, CLOSER = "<tool_call>", "</tool_call>"

QWEN_XML = Family(
    name="qwen-xml",
    found=lambda template, added: "<function=" in template and "<parameter=" in template,
    calls=(
        CallBlock(OPENER, either(("{", objects(CLOSER)), ("", elements(QWEN_ELEMENTS, CLOSER))), closer=CLOSER),
        # The outer marker is left out at times.
        CallBlock(QWEN_ELEMENTS.call, elements(QWEN_ELEMENTS, optional_closer=CLOSER), inclusive=True),
    ),
    shape=QWEN_CODER,
)

SEED_CLOSER = "</seed:tool_call>"
SEED_ELEMENTS = replace(QWEN_ELEMENTS, lines=False)

SEED_OSS = Family(
    name="seed-oss",
    found=lambda template, added: "<seed:tool_call>" in template,
    calls=(CallBlock("<seed:tool_call>", elements(SEED_ELEMENTS, SEED_CLOSER)),),
    shape=CallShape(
        "<seed:tool_call>\n<function=", ">\n", "</function>\n</seed:tool_call>", between="\n",
        element="<parameter={key}>{value}</parameter>\n",
    ),
)  # fmt: skip
