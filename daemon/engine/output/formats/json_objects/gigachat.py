"""GigaChat 3: a message of the role `function call`, whose text is `{"name": "weather", "arguments": {…}}`."""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family
from ..notation.objects import objects

OPENER = "function call<|role_sep|>"

GIGACHAT = Family(
    name="gigachat",
    found=lambda template, added: "function call" in template and "<|role_sep|>" in template,
    calls=(CallBlock("<|message_sep|>\n\n" + OPENER, objects()), CallBlock(OPENER, objects())),
    shape=CallShape('{"name": "', '", "arguments": ', "}", before="<|message_sep|>\n\n" + OPENER + "\n"),
)
