"""DeepSeek R1, V3 and V3.1, and the markup of V3.2 and V4.

R1 and V3: `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME`, a block of JSON in a fence, and
the end markers; V3.1: `<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>{…}<｜tool▁call▁end｜>`. V3.2 and V4 name each
parameter, and whether it is a string.
"""

from __future__ import annotations

from ..family import CallBlock, CallShape, Family
from ..notation.call_sink import CallSink
from ..notation.cursor import Cursor, Waits
from ..notation.elements import Elements, elements
from ..notation.named import NAME
from ..notation.objects import arguments_of

BEGIN, END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL, SEPARATOR, CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"


def _read(cursor: Cursor, sink: CallSink) -> Waits[None]:
    while True:
        yield from cursor.blank()
        if not (yield from cursor.literal(CALL)):
            return
        said = yield from cursor.word(NAME)
        if not (yield from cursor.literal(SEPARATOR)):
            return
        if said == "function":
            said = (yield from cursor.word(NAME)) or said
        name = sink.tools.name(said)
        if name is None or not (yield from arguments_of(cursor, sink, name, (CALL_END, CALL, END))):
            return
        yield from cursor.blank()
        yield from cursor.literal(CALL_END)
        cursor.commit()
        yield from cursor.blank()
        if (yield from cursor.literal(END)):
            cursor.commit()
            return


DEEPSEEK = Family(
    name="deepseek",
    found=lambda template, added: BEGIN in template or CALL in added,
    calls=(CallBlock(BEGIN, _read), CallBlock(CALL, _read, inclusive=True)),
    shape=CallShape(CALL, SEPARATOR, CALL_END, before=BEGIN, after=END),
)

_MARK = "｜DSML｜"
DSML_ELEMENTS = Elements(
    call=f'<{_MARK}invoke name="',
    call_end='">',
    key=f'<{_MARK}parameter name="',
    key_end='">',
    string='" string="{}">',
    value_end=f"</{_MARK}parameter>",
    close=f"</{_MARK}invoke>",
)
_BLOCKS = ("function_calls", "tool_calls")

DEEPSEEK_DSML = Family(
    name="deepseek-dsml",
    found=lambda template, added: _MARK in template,
    efforts={"low": "", "medium": ""},  # V4 asks for more than it does by itself with high
    calls=tuple(
        CallBlock(f"<{_MARK}{block}>", elements(DSML_ELEMENTS, f"</{_MARK}{block}>")) for block in _BLOCKS
    ),
    shape=CallShape(
        DSML_ELEMENTS.call, DSML_ELEMENTS.call_end + "\n", DSML_ELEMENTS.close + "\n",
        before=f"\n\n<{_MARK}tool_calls>\n", after=f"</{_MARK}tool_calls>",
        element=DSML_ELEMENTS.key + '{key}" string="{string}">{value}' + DSML_ELEMENTS.value_end + "\n",
    ),
)  # fmt: skip
