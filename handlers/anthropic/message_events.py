"""The events of a streamed message: blocks one after another, each begun, filled and stopped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...daemon.protocol import Delta, Finished
from .. import error_bodies as errors
from ..failure import Failure, Incomplete
from ..items import Item, merged
from ..jsontext import encode
from ..stream import SSE, Heartbeat
from . import thoughts
from .answer_blocks import AnswerBlocks, Begun, Grown, Step
from .message_document import empty, message, stopped, usage

_DELTAS = {
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
    "tool_use": ("input_json_delta", "partial_json"),
}


def event(name: str, **document: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + encode({"type": name} | document) + b"\n\n"


HEARTBEAT = Heartbeat(SSE, lambda: event("ping"))


def record(failure: Failure, request_id: str) -> bytes:
    """An error in the middle of a stream."""
    return b"event: error\ndata: " + encode(errors.anthropic(failure, request_id)) + b"\n\n"


class MessageEvents:
    """Of one message. `omitted`: thoughts are there by their signature only."""

    def __init__(self, model: str, *, parallel: bool, omitted: bool) -> None:
        self._model = model
        self._blocks = AnswerBlocks(parallel=parallel)
        self._omitted = omitted
        self._index = -1
        self._end: Finished | None = None

    def opening(self, prompt_tokens: int, cached: int) -> bytes:
        """The message without content, and a first `ping`, as Anthropic's API has it."""
        begun = message(self._model, [], prompt_tokens, None, cached=cached)
        return event("message_start", message=begun) + event("ping")

    def frames(self, items: list[Item]) -> bytes:
        frames: list[bytes] = []
        for _, given in merged(items):
            if isinstance(given, Delta):
                frames += self._frames(self._blocks.steps(given))
            else:
                self._end = given
        return b"".join(frames)

    def closing(self, prompt_tokens: int) -> bytes:
        if self._end is None:
            raise Incomplete("the answer has no end")
        frames = self._frames(self._blocks.end())
        delta = stopped(self._end, called=self._blocks.called)
        frames.append(event("message_delta", delta=delta, usage=usage(prompt_tokens, self._end)))
        return b"".join([*frames, event("message_stop")])

    def _frames(self, steps: Iterable[Step]) -> list[bytes]:
        return [frame for step in steps for frame in self._frame(step)]

    def _frame(self, step: Step) -> list[bytes]:
        if isinstance(step, Begun):
            self._index += 1
            return [event("content_block_start", index=self._index, content_block=empty(step))]
        if isinstance(step, Grown):
            if step.kind == "thinking" and self._omitted:
                return []
            kind, field = _DELTAS[step.kind]
            return [self._delta(kind, field, step.text)]
        frames = []
        if step.kind == "thinking":
            signature = thoughts.signature(step.text, held=self._omitted)
            frames.append(self._delta("signature_delta", "signature", signature))
        return [*frames, event("content_block_stop", index=self._index)]

    def _delta(self, kind: str, field: str, text: str) -> bytes:
        return event("content_block_delta", index=self._index, delta={"type": kind, field: text})
