"""gpt-oss: messages with a channel and a recipient each (OpenAI's harmony format).

`<|channel|>analysis<|message|>…<|end|>` are thoughts, `final` is the answer, `commentary` without a recipient text
before a call. `<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{"city": "Rome"}<|call|>` is a
call; its recipient may also stand in front of the channel. `<|start|>assistant` begins each further message.
"""

from __future__ import annotations

import re
from typing import Literal

from ...overlap import overlap
from ...pieces import Piece, Reasoning, Text
from ..family import CallShape, Family, Thoughts
from ..format import TextChannel
from ..notation.call_sink import CallSink
from ..notation.cursor import BlockReading, Cursor, Read, Waits
from ..notation.objects import arguments_of

START, CHANNEL, MESSAGE = "<|start|>", "<|channel|>", "<|message|>"
ENDS = ("<|end|>", "<|return|>", "<|call|>")
ANALYSIS = CHANNEL + "analysis" + MESSAGE
_MARKERS = (START, CHANNEL, MESSAGE, "<|constrain|>", *ENDS)
_PLAUSIBLE = re.compile(r"(?:<\|start\|>)?[\w .=\-:/]*(?:<\|channel\|>)?[\w .=\-:/]*(?:<\|constrain\|>)?[\w .=\-:/]*")
_HEADER = re.compile(
    r"(?:<\|start\|>\s*[\w.\-]+)?\s*(?:to=[\w.\-:/]+)?\s*(?:<\|channel\|>\s*\w+)?\s*(?:to=[\w.\-:/]+)?\s*"
    r"(?:<\|constrain\|>)?\s*\w*\s*"
)
_LONGEST_HEADER = 300
_TO = re.compile(r"to=([\w.\-:/]+)")
_NAMED_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")

HARMONY = Family(
    name="harmony",
    found=lambda template, added: CHANNEL in template or {CHANNEL, MESSAGE, "<|call|>"} <= added,
    thoughts=(Thoughts(ANALYSIS, "<|end|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),),
    answer=CHANNEL + "final" + MESSAGE,
    resume=START + "assistant",
    shape=CallShape(
        CHANNEL + "commentary to=functions.", " <|constrain|>json" + MESSAGE, "<|call|>", between="<|start|>assistant"
    ),
    markers=_MARKERS,
)


class HarmonyFormat:
    """Follows the messages. A header that is none, and a message to somebody who was not offered, stay text."""

    def __init__(self, sink: CallSink | None = None, *, reasoning: bool = True) -> None:
        self._sink = sink
        self._reasoning = reasoning
        self._held = ""
        self._state: Literal["begin", "header", "body", "between", "call"] = "begin"
        self._header = ""
        self._before: tuple[Literal["body", "between"], TextChannel] = ("between", "content")
        self._call: BlockReading | None = None
        self._said = False
        self._parted = False
        self._seam = False
        self._verbatim = False
        self.channel: TextChannel = "content"

    def add(self, text: str) -> list[Piece]:
        pieces: list[Piece] = []
        self._held += text
        while self._step(pieces, final=False):
            pass
        return pieces

    def finish(self, *, cut: bool = False) -> list[Piece]:
        pieces: list[Piece] = []
        if self._call is not None:
            self._call.finish(cut=cut)
        while self._step(pieces, final=True):
            pass
        return pieces

    def _step(self, pieces: list[Piece], *, final: bool) -> bool:
        """Whether there is more to do with what is held."""
        if self._state == "call":
            return self._read_call(pieces)
        if not self._held and not (final and self._header and self._state == "header"):
            return False
        if self._state == "begin":
            start = self._held.lstrip()
            if not final and ("to=".startswith(start) or not start):
                return False
            self._state = "between"
            if start.startswith("to="):
                self._begin_header("")
            return True
        if self._state == "header":
            return self._read_header(pieces, final)
        return self._read_text(pieces, final)

    def _read_text(self, pieces: list[Piece], final: bool) -> bool:
        markers = (START, CHANNEL, *ENDS)
        found = min(((at, marker) for marker in markers if (at := self._held.find(marker)) >= 0), default=None)
        at = found[0] if found else len(self._held) - (0 if final else overlap(self._held, markers))
        self._give(pieces, self._held[:at])
        self._held = self._held[at:]
        if found is None:
            return False
        marker = found[1]
        self._held = self._held[len(marker) :]
        if marker in ENDS:
            if self._state == "body":
                if self._verbatim:
                    self._give(pieces, marker)
                self._state, self.channel = "between", "content"
                self._parted = self._seam = True
            else:
                self._give(pieces, marker)
        else:
            self._begin_header(marker)
        return True

    def _begin_header(self, marker: str) -> None:
        self._before = ("body" if self._state == "body" else "between", self.channel)
        self._state, self._header = "header", marker

    def _read_header(self, pieces: list[Piece], final: bool) -> bool:
        whole = self._header + self._held
        found = whole.find(MESSAGE)
        rest = whole[found + len(MESSAGE) :]
        whole = whole if found < 0 else whole[:found]
        keep = 0 if found >= 0 else overlap(whole, _MARKERS)
        pattern = _PLAUSIBLE if found < 0 else _HEADER
        plausible = pattern.fullmatch(whole[: len(whole) - keep]) is not None and len(whole) <= _LONGEST_HEADER
        if found < 0 and plausible and not final:
            self._header, self._held = whole, ""
            return False
        if found < 0 or not plausible:
            # No header: its marker is text, and what follows is looked at again.
            self._state, self.channel = self._before
            marker = next((each for each in (START, CHANNEL) if whole.startswith(each)), whole[:1])
            self._held = (self._header + self._held)[len(marker) :]
            self._header = ""
            self._give(pieces, marker)
            return True
        self._held = rest
        self._open(pieces, whole)
        return True

    def _open(self, pieces: list[Piece], header: str) -> None:
        """The body of a message begins."""
        to, named = _TO.search(header), _NAMED_CHANNEL.search(header)
        channel = named[1] if named else ""
        name = self._sink.tools.name(to[1]) if to and self._sink else None
        self._header = header + MESSAGE
        if name is not None and self._sink is not None:
            self._state, self.channel = "call", "tool"
            self._call = BlockReading(_reader(name), self._sink)
            return
        self._state, self._seam = "body", False
        thinks = channel == "analysis" and not to
        self.channel = "reasoning" if thinks and self._reasoning else "content"
        known = (thinks and self._reasoning) or (channel in ("final", "commentary", "") and not to)
        self._verbatim = not known
        if not known:
            self._give(pieces, self._header)

    def _read_call(self, pieces: list[Piece]) -> bool:
        reading, sink = self._call, self._sink
        if reading is None or sink is None:
            return False
        if self._held and not reading.done:
            reading.add(self._held)
            self._held = ""
        pieces.extend(sink.take())
        if not reading.done:
            return False
        self._call, self.channel = None, "content"
        self._held = reading.rest + self._held
        if reading.calls and not reading.broken:
            self._state = "between"
            self._parted = self._seam = True
        else:
            self._state, self._seam, self._verbatim = "body", False, True
            self._give(pieces, self._header)
        return True

    def _give(self, pieces: list[Piece], text: str) -> None:
        if not text:
            return
        if self.channel == "reasoning":
            pieces.append(Reasoning(text))
            return
        if self._seam:
            text = text.lstrip()  # white space between two messages
            if not text:
                return
            self._seam = False
        if self._parted and self._said:
            text = "\n\n" + text
        self._said, self._parted = True, False
        pieces.append(Text(text))


def _reader(name: str) -> Read:
    def read(cursor: Cursor, sink: CallSink) -> Waits[None]:
        if not (yield from arguments_of(cursor, sink, name, (*ENDS, START, CHANNEL))):
            return
        yield from cursor.blank()
        yield from cursor.literal(*ENDS)
        cursor.commit()

    return read
