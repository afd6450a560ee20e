"""MiniMax M2, and DeepSeek V3.2 and V4 with markers of their own.

<minimax:tool_call>
<invoke name="weather">
<parameter name="city">Rome</parameter>
</invoke>
</minimax:tool_call>
"""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family
from ..notation.elements import Elements, elements

MINIMAX_ELEMENTS = Elements(
    call='<invoke name="',
    call_end='">',
    key='<parameter name="',
    key_end='">',
    value_end="</parameter>",
    close="</invoke>",
)
CLOSER = "</minimax:tool_call>"

MINIMAX = Family(
    name="minimax",
    found=lambda template, added: "<minimax:tool_call>" in template,
    calls=(CallBlock("<minimax:tool_call>", elements(MINIMAX_ELEMENTS, CLOSER)),),
    shape=CallShape(
        '<invoke name="', '">\n', "</invoke>\n", before="<minimax:tool_call>\n", after=CLOSER,
        element='<parameter name="{key}">{value}</parameter>\n',
    ),
)  # fmt: skip
