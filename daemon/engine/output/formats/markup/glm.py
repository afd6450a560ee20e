"""GLM 4.5 to 5: `<tool_call>weather<arg_key>city</arg_key><arg_value>Rome</arg_value></tool_call>`.

Up to 4.6 with a line feed behind the name and between the elements. Strings stand as they are, all else is JSON.
"""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family
from ..notation.cursor import either
from ..notation.elements import Elements, elements
from ..notation.objects import objects

OPENER, CLOSER = "<tool_call>", "</tool_call>"
GLM_ELEMENTS = Elements(
    call="",
    call_end="",
    key="<arg_key>",
    key_end="</arg_key>",
    value="<arg_value>",
    value_end="</arg_value>",
    close=CLOSER,
)

GLM = Family(
    name="glm",
    found=lambda template, added: "<arg_key>" in template,
    efforts={"low": "high", "medium": "high"},  # 5 knows high and max, which is its own choice
    calls=(CallBlock(OPENER, either(("{", objects(CLOSER)), ("", elements(GLM_ELEMENTS))), closer=CLOSER),),
    shape=CallShape(
        "<tool_call>", "", "</tool_call>", element="<arg_key>{key}</arg_key><arg_value>{value}</arg_value>"
    ),
)
