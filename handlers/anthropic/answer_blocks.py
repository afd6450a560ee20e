"""What a model says as Anthropic's content blocks: thoughts, text, and calls of tools, in the order in which they came.

Both forms of an answer are made from the same steps: a block begins, grows, and ends.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ...daemon.protocol import Delta, ToolCall

BlockKind: TypeAlias = Literal["thinking", "text", "tool_use"]


@dataclass(frozen=True)
class Begun:
    """`id` and `name` are those of a call."""

    kind: BlockKind
    id: str = ""
    name: str = ""


@dataclass(frozen=True)
class Grown:
    """More of the block that began last: a thought's or a text's characters, or the JSON text of a call's input."""

    kind: BlockKind
    text: str


@dataclass(frozen=True)
class Ended:
    """`text` is all that the block has got."""

    kind: BlockKind
    text: str


Step: TypeAlias = Begun | Grown | Ended


class AnswerBlocks:
    """White space alone is no text, unless nothing else is said, and the line ends behind a thought belong to neither.
    `parallel` False: only the first call is passed on."""

    def __init__(self, *, parallel: bool) -> None:
        self.called = False
        self._parallel = parallel
        self._open: BlockKind | None = None
        self._parts: list[str] = []
        self._blank = ""
        self._count = 0
        self._call = -1

    def steps(self, delta: Delta) -> Iterator[Step]:
        if delta.reasoning:
            yield from self._grow("thinking", delta.reasoning)
        if delta.text:
            yield from self._text(delta.text)
        for call in delta.tool_calls:
            if self._parallel or call.index == 0:
                yield from self._called(call)

    def end(self) -> Iterator[Step]:
        """What is left once the model has ended. An answer always has a block that is not a thought."""
        if not self.called and self._open != "text":
            yield from self._grow("text", self._blank)
        yield from self._close()

    def _text(self, text: str) -> Iterator[Step]:
        if self._open == "text":
            yield from self._grow("text", text)
            return
        self._blank += text
        if self._blank.strip():
            text, self._blank = self._blank, ""
            if self._open == "thinking":
                text = text.lstrip("\n")
            yield from self._grow("text", text)

    def _called(self, call: ToolCall) -> Iterator[Step]:
        if call.index != self._call or self._open != "tool_use":
            yield from self._close()
            self._call, self.called, self._blank = call.index, True, ""
            self._open = "tool_use"
            yield Begun("tool_use", "toolu_" + secrets.token_hex(12), call.name)
        if call.arguments:
            self._parts.append(call.arguments)
            yield Grown("tool_use", call.arguments)

    def _grow(self, kind: BlockKind, text: str) -> Iterator[Step]:
        if self._open != kind:
            yield from self._close()
            self._open = kind
            yield Begun(kind)
        if text:
            self._parts.append(text)
            yield Grown(kind, text)

    def _close(self) -> Iterator[Step]:
        if self._open is not None:
            yield Ended(self._open, "".join(self._parts))
        self._open = None
        self._parts = []


def all_steps(deltas: Iterable[Delta], blocks: AnswerBlocks) -> Iterator[Step]:
    """Of an answer that is complete."""
    for delta in deltas:
        yield from blocks.steps(delta)
    yield from blocks.end()
