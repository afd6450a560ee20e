"""Ollama's answers to chat and generate: the lines of a stream, and the one document when nothing is streamed."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import orjson

from ...daemon.protocol import Accepted, Delta, Finished, TokenLogprob, ToolCall
from .. import error_bodies as errors
from ..failure import Failure
from ..items import Answer, Item, merged
from ..jsontext import encode
from ..openai.chat_answers import finite
from ..stream import NDJSON, Heartbeat
from .times import nanoseconds, now

_LETTERS = string.ascii_lowercase + string.digits
AnswerStyle = Literal["chat", "generate"]


def record(failure: Failure) -> bytes:
    """An error in the middle of a stream."""
    return encode(errors.ollama(failure)) + b"\n"


def logprobs(tokens: Iterable[TokenLogprob]) -> list[dict[str, Any]]:
    return [
        _logprob(token) | ({"top_logprobs": [_logprob(t) for t in token.top]} if token.top else {}) for token in tokens
    ]


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    return {"token": token.token, "logprob": finite(token.logprob), "bytes": token.bytes or list(token.token.encode())}


def tool_calls(calls: Sequence[ToolCall], first: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "id": "call_" + "".join(secrets.choice(_LETTERS) for _ in range(8)),
            "function": {"index": first + index, "name": call.name, "arguments": orjson.Fragment(call.arguments)},
        }
        for index, call in enumerate(calls)
    ]


class Lines:
    """The lines of one answer. `model` is echoed as the client wrote it."""

    def __init__(self, style: AnswerStyle, model: str, *, with_logprobs: bool) -> None:
        self._style = style
        self._with_logprobs = with_logprobs
        self._calls = 0
        self._end: Finished | None = None
        self.heartbeat = Heartbeat(NDJSON, self.nothing)
        name = encode(model)
        self._head = b'{"model":' + name + b',"created_at":"'
        if style == "chat":
            self._before, self._after = b'","message":{"role":"assistant","content":', b'},"done":false}\n'
        else:
            self._before, self._after = b'","response":', b',"done":false}\n'

    @property
    def end(self) -> Finished:
        """How the sequence ended; to be asked for only then."""
        return self._end or Finished(id=0, reason="stop", prompt_tokens=0, completion_tokens=0)

    def frames(self, items: list[Item]) -> bytes:
        return b"".join(self._line(event) for _, event in merged(items))

    def _line(self, event: Delta | Finished) -> bytes:
        if isinstance(event, Finished):
            self._end = event
            return b""
        if not (event.reasoning or event.tool_calls or event.logprobs):
            if not event.text:
                return b""
            return self._head + now().encode() + self._before + encode(event.text) + self._after
        document: dict[str, Any] = {"done": False}
        if self._with_logprobs and event.logprobs:
            document["logprobs"] = logprobs(event.logprobs)
        calls = tool_calls(event.tool_calls, self._calls)
        self._calls += len(calls)
        return self.document(event.text, event.reasoning, calls, document) + b"\n"

    def document(self, text: str, thinking: str, calls: list[dict[str, Any]], more: dict[str, Any]) -> bytes:
        """One JSON object: what both styles share, then `more`."""
        part: dict[str, Any] = {"content" if self._style == "chat" else "response": text}
        if thinking:
            part["thinking"] = thinking
        if calls:
            part["tool_calls"] = calls
        if self._style == "chat":
            part = {"message": {"role": "assistant"} | part}
        return self._head + now().encode() + b'",' + encode(part | more)[1:]

    def nothing(self) -> bytes:
        """A line that adds nothing to the answer."""
        return self.document("", "", [], {"done": False}) + b"\n"

    def whole(self, answer: Answer, more: dict[str, Any]) -> bytes:
        """The one document of an answer that is not streamed."""
        probabilities = {"logprobs": logprobs(answer.logprobs)} if self._with_logprobs else {}
        return self.document(answer.text, answer.reasoning, tool_calls(answer.tool_calls), probabilities | more)


def final(end: Finished, accepted: Accepted, *, total_seconds: float, load_seconds: float) -> dict[str, Any]:
    """What the last line says beyond the others."""
    document: dict[str, Any] = {
        "done": True,
        "done_reason": "length" if end.reason == "length" else "stop",
        "total_duration": nanoseconds(total_seconds),
        "load_duration": nanoseconds(load_seconds),
        "prompt_eval_count": end.prompt_tokens,
        "prompt_eval_duration": nanoseconds(end.prefill_seconds),
        "eval_count": end.completion_tokens,
        "eval_duration": nanoseconds(end.decode_seconds),
    }
    if end.cached_tokens:
        document["prompt_eval_cached_count"] = end.cached_tokens
    if end.context is not None:
        document["context"] = list(end.context)
    if accepted.truncated:
        document["prompt_truncated"] = True
    return document
