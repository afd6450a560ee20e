"""The items of an answer, built from what the engine says, and the events that tell of them as they grow.

An answer that is not streamed is built the same way; nobody reads the events then.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from ...daemon.protocol import Delta, TokenLogprob, ToolCall
from ..openai.chat_answers import finite
from .callable_tools import CallableTool, CallableTools
from .input_items import identity, sealed

Event: TypeAlias = dict[str, Any]
"""Without its `sequence_number`."""


class OutputItems:
    """`summary`: thoughts are told as a summary; `sealed`: they have `encrypted_content`; `logprobs`: the text has
    log-probabilities; `parallel` False: calls after the first are left out."""

    def __init__(self, tools: CallableTools, *, summary: bool, sealed: bool, logprobs: bool, parallel: bool) -> None:
        self.items: list[dict[str, Any]] = []
        self._tools = tools
        self._summary = summary
        self._sealed = sealed
        self._logprobs = logprobs
        self._parallel = parallel
        self._open: _Thought | _Text | _Call | None = None
        self._early: tuple[TokenLogprob, ...] = ()

    def add(self, delta: Delta) -> Iterator[Event]:
        """All of them must be taken."""
        tokens = tuple(token for token in delta.logprobs if token.channel == "content")
        if delta.reasoning:
            if not isinstance(self._open, _Thought):
                yield from self._begin(_Thought(self._place, self._summary, self._sealed))
            assert isinstance(self._open, _Thought)
            yield self._open.more(delta.reasoning)
        if delta.text:
            if not isinstance(self._open, _Text):
                yield from self._begin(_Text(self._place, self._logprobs))
            assert isinstance(self._open, _Text)
            yield self._open.more(delta.text, (*self._early, *tokens))
            self._early = ()
        else:
            self._early += tokens  # of tokens whose text comes with a later one
        for call in delta.tool_calls:
            if self._parallel or call.index == 0:
                yield from self._call(call)

    def end(self, *, complete: bool) -> Iterator[Event]:
        """What is open is closed; an answer that says nothing is an empty text."""
        if self._open is None and not self.items:
            yield from self._begin(_Text(self._place, self._logprobs))
        yield from self._close(complete)

    def take(self, delta: Delta) -> None:
        """`add`, where nobody follows."""
        deque(self.add(delta), 0)

    def finish(self, *, complete: bool) -> None:
        """`end`, where nobody follows."""
        deque(self.end(complete=complete), 0)

    @property
    def _place(self) -> int:
        return len(self.items) + (self._open is not None)

    def _begin(self, item: _Thought | _Text | _Call) -> Iterator[Event]:
        yield from self._close(True)
        self._open = item
        yield from item.begin()

    def _close(self, complete: bool) -> Iterator[Event]:
        if self._open is None:
            return
        ended, self._open = self._open, None
        if isinstance(ended, _Text):
            ended.last, self._early = self._early, ()
        yield from ended.end(complete)
        self.items.append(ended.item)

    def _call(self, call: ToolCall) -> Iterator[Event]:
        if call.name or not isinstance(self._open, _Call):
            yield from self._begin(_Call(self._place, call, self._tools.of_call(call.name)))
        assert isinstance(self._open, _Call)
        yield from self._open.more(call.arguments)


class _Thought:
    """A reasoning item."""

    def __init__(self, place: int, summary: bool, seal: bool) -> None:
        self.item: dict[str, Any] = {"type": "reasoning", "id": identity("reasoning"), "summary": []}
        self._at = {"item_id": self.item["id"], "output_index": place}
        self._inner = {"summary_index": 0} if summary else {"content_index": 0}
        self._kind = "reasoning_summary_text" if summary else "reasoning_text"
        self._summary = summary
        self._seal = seal
        self._text: list[str] = []

    def begin(self) -> Iterator[Event]:
        yield _added(self._at, self.item | {"status": "in_progress"})
        yield {"type": f"response.{self._part_kind}.added"} | self._at | self._inner | {"part": self._part("")}

    def more(self, text: str) -> Event:
        self._text.append(text)
        return {"type": f"response.{self._kind}.delta"} | self._at | self._inner | {"delta": text}

    def end(self, complete: bool) -> Iterator[Event]:
        text = "".join(self._text)
        at = self._at | self._inner
        yield {"type": f"response.{self._kind}.done"} | at | {"text": text}
        yield {"type": f"response.{self._part_kind}.done"} | at | {"part": self._part(text)}
        self.item["summary" if self._summary else "content"] = [self._part(text)]
        if self._seal:
            self.item["encrypted_content"] = sealed(text)
        self.item["status"] = _status(complete)
        yield _done(self._at, self.item)

    @property
    def _part_kind(self) -> str:
        return "reasoning_summary_part" if self._summary else "content_part"

    def _part(self, text: str) -> dict[str, Any]:
        return {"type": "summary_text" if self._summary else "reasoning_text", "text": text}


class _Text:
    """A message. `last` are the tokens after its text that say nothing more."""

    def __init__(self, place: int, logprobs: bool) -> None:
        self.item: dict[str, Any] = {"type": "message", "id": identity("message"), "role": "assistant", "content": []}
        self._at = {"item_id": self.item["id"], "output_index": place}
        self._inner = self._at | {"content_index": 0}
        self._with_logprobs = logprobs
        self._text: list[str] = []
        self._logprobs: list[dict[str, Any]] = []
        self.last: tuple[TokenLogprob, ...] = ()

    def begin(self) -> Iterator[Event]:
        yield _added(self._at, self.item | {"status": "in_progress"})
        yield {"type": "response.content_part.added"} | self._inner | {"part": self._part("")}

    def more(self, text: str, logprobs: Sequence[TokenLogprob]) -> Event:
        self._text.append(text)
        found = [_logprob(token) for token in logprobs] if self._with_logprobs else []
        self._logprobs += found
        return {"type": "response.output_text.delta"} | self._inner | {"delta": text, "logprobs": found}

    def end(self, complete: bool) -> Iterator[Event]:
        text = "".join(self._text)
        if self._with_logprobs:
            self._logprobs += [_logprob(token) for token in self.last]
        part = self._part(text)
        yield {"type": "response.output_text.done"} | self._inner | {"text": text, "logprobs": self._logprobs}
        yield {"type": "response.content_part.done"} | self._inner | {"part": part}
        self.item["content"] = [part]
        self.item["status"] = _status(complete)
        yield _done(self._at, self.item)

    def _part(self, text: str) -> dict[str, Any]:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(self._logprobs)}


class _Call:
    """A call of a function, or of a custom tool, whose text is known once all of the call is."""

    def __init__(self, place: int, call: ToolCall, tool: CallableTool | None) -> None:
        self._custom = tool is not None and tool.custom
        kind = "custom_tool_call" if self._custom else "function_call"
        self.item: dict[str, Any] = {
            "type": kind,
            "id": identity(kind),
            "call_id": f"call_{secrets.token_hex(12)}",
            "name": tool.name if tool is not None else call.name,
        }
        if tool is not None and tool.namespace is not None:
            self.item["namespace"] = tool.namespace
        self._at = {"item_id": self.item["id"], "output_index": place}
        self._field = "input" if self._custom else "arguments"
        self._kind = "custom_tool_call_input" if self._custom else "function_call_arguments"
        self._text: list[str] = []

    def begin(self) -> Iterator[Event]:
        yield _added(self._at, self.item | {self._field: "", "status": "in_progress"})

    def more(self, arguments: str) -> Iterator[Event]:
        self._text.append(arguments)
        if arguments and not self._custom:
            yield {"type": f"response.{self._kind}.delta"} | self._at | {"delta": arguments}

    def end(self, complete: bool) -> Iterator[Event]:
        text = "".join(self._text)
        if self._custom:
            text = custom_input(text)
            if text:
                yield {"type": f"response.{self._kind}.delta"} | self._at | {"delta": text}
        self.item[self._field] = text
        named = {} if self._custom else {"name": self.item["name"]}
        yield {"type": f"response.{self._kind}.done"} | self._at | named | {self._field: text}
        self.item["status"] = _status(complete)
        yield _done(self._at, self.item)


def custom_input(arguments: str) -> str:
    """The text that a custom tool is called with, of the arguments of the function that stands for it: `input`, or the
    only text there is; what is neither is passed on as it is."""
    try:
        given = msgspec.json.decode(arguments, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return arguments
    if isinstance(given.get("input"), str):
        return str(given["input"])
    (only, *more) = given.values() if given else ("",)
    return only if isinstance(only, str) and not more else arguments


def _added(at: dict[str, Any], item: dict[str, Any]) -> Event:
    return {"type": "response.output_item.added", "output_index": at["output_index"], "item": item}


def _done(at: dict[str, Any], item: dict[str, Any]) -> Event:
    return {"type": "response.output_item.done", "output_index": at["output_index"], "item": item}


def _status(complete: bool) -> str:
    return "completed" if complete else "incomplete"


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    return _token(token) | {"top_logprobs": [_token(other) for other in token.top]}


def _token(token: TokenLogprob) -> dict[str, Any]:
    return {
        "token": token.token,
        "logprob": finite(token.logprob),
        "bytes": list(token.bytes) or list(token.token.encode()),
    }
