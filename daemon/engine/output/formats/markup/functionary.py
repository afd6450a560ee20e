"""Functionary 3.1: `<function=weather>{"city": "Rome"}</function>`; 3.2: `>>>weather` and JSON on the next line.

3.2's prompt ends with `>>>`, and `all` in place of a name addresses the user.
"""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family
from ..notation.named import NamedCall, named

CALL = NamedCall(begin="<function=", end=">", close="</function>")

FUNCTIONARY_31 = Family(
    name="functionary-3.1",
    found=lambda template, added: "<function=" in template and "</function>" in template,
    calls=(CallBlock("<function=", named(CALL, again=""), inclusive=True),),
    shape=CallShape("<function=", ">", "</function>"),
)

_NEXT = ">>>"
_CALL = NamedCall()

FUNCTIONARY_32 = Family(
    name="functionary-3.2",
    found=lambda template, added: ">>>${recipient}" in template,
    calls=(CallBlock(_NEXT, named(_CALL)), CallBlock("", named(_CALL), bare=True)),
    layout=(("all\n", ""), (">>>all\n", "")),
    shape=CallShape("", "\n", "", between=_NEXT),
)
