"""Llama 3.1 to 3.3: an answer that is `{"name": "weather", "parameters": {"city": "Rome"}}`, several with `;` between.

`<|python_tag|>` may stand in front.
"""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family
from ..notation.objects import objects

LLAMA3 = Family(
    name="llama3",
    found=lambda template, added: "<|start_header_id|>" in template and '{"name": function name' in template,
    calls=(
        CallBlock("<|python_tag|>", objects()),
        CallBlock("{", objects(), bare=True, inclusive=True),
        CallBlock("[", objects(), bare=True, inclusive=True),
    ),
    shape=CallShape('{"name": "', '", "parameters": ', "}", between="; "),
)
