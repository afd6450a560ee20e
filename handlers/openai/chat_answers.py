"""OpenAI's chat answers: the whole document, and the chunks of a stream with everything constant encoded once."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

from ...daemon.protocol import Delta, Finished, TokenLogprob, ToolCall
from ..items import Answer, Item, merged
from ..jsontext import HOLE, encode

LEAST_LOGPROB = -9999.0  # OpenAI's value for minus infinity, which JSON does not have


def identity(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(12)}"


def usage(ends: Sequence[Finished], prompts: Sequence[int]) -> dict[str, Any]:
    """`prompts` are the token counts of the distinct prompts, each counted once."""
    prompt, completion = sum(prompts), sum(end.completion_tokens for end in ends)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": min(prompt, sum(end.cached_tokens for end in ends))},
        "completion_tokens_details": {"reasoning_tokens": sum(end.reasoning_tokens for end in ends)},
    }


def finite(logprob: float | None) -> float | None:
    return logprob if logprob is None or logprob > LEAST_LOGPROB else LEAST_LOGPROB


def logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """`content` has the tokens of the message's content; those of the thoughts and of the calls, with their markers,
    have lists of their own, where there are any."""
    lists: dict[str, Any] = {"content": _of(tokens, "content"), "refusal": None}
    for name, channel in (("reasoning_content", "reasoning"), ("tool_calls", "tool")):
        if found := _of(tokens, channel):
            lists[name] = found
    return lists


def _of(tokens: Iterable[TokenLogprob], channel: str) -> list[dict[str, Any]]:
    return [
        _logprob(token) | {"top_logprobs": [_logprob(each) for each in token.top]}
        for token in tokens
        if token.channel == channel
    ]


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    return {"token": token.token, "logprob": finite(token.logprob), "bytes": token.bytes or list(token.token.encode())}


def tool_calls(calls: Sequence[ToolCall], parallel: bool) -> list[dict[str, Any]]:
    kept = calls if parallel else calls[:1]
    return [_tool_call(call) for call in kept]


def _tool_call(call: ToolCall) -> dict[str, Any]:
    """A call, or its first part: only that has an id."""
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}


def service_tier(tier: str | None) -> dict[str, str]:
    """There is one tier, whatever it is called: the client's own word comes back."""
    return {} if tier is None else {"service_tier": tier}


def _part(call: ToolCall) -> dict[str, Any]:
    """A call or a part of one in a stream."""
    return {"index": call.index} | (_tool_call(call) if call.name else {"function": {"arguments": call.arguments}})


def completion(
    model: str,
    fingerprint: str,
    answers: Sequence[Answer],
    prompt_tokens: int,
    *,
    parallel: bool,
    with_logprobs: bool,
    tier: str | None = None,
) -> dict[str, Any]:
    choices = []
    for index, answer in enumerate(answers):
        calls = tool_calls(answer.tool_calls, parallel)
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
        if answer.reasoning:
            message["reasoning"] = message["reasoning_content"] = answer.reasoning
        if calls:
            message["content"] = answer.text or None
            message["tool_calls"] = calls
        choices.append(
            {
                "index": index,
                "message": message,
                "logprobs": logprobs(answer.logprobs) if with_logprobs else None,
                "finish_reason": answer.end.reason,
            }
        )
    return {
        "id": identity("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": fingerprint,
        "choices": choices,
        "usage": usage([answer.end for answer in answers], [prompt_tokens]),
    } | service_tier(tier)


class ChatChunks:
    """The chunks of one streamed chat. Only the changing text of a chunk is encoded per token."""

    def __init__(
        self,
        model: str,
        count: int,
        *,
        parallel: bool,
        with_logprobs: bool,
        with_usage: bool,
        tier: str | None = None,
    ) -> None:
        self._head: dict[str, Any] = {
            "id": identity("chatcmpl"),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        } | service_tier(tier)
        self._tail: dict[str, Any] = {"usage": None} if with_usage else {}
        self._with_usage = with_usage
        self._with_logprobs = with_logprobs
        self._parallel = parallel
        self._count = count
        self._ends: list[Finished] = []
        self._texts: list[list[bytes]] = []
        self._reasonings: list[list[bytes]] = []

    def nothing(self) -> bytes:
        """A chunk that adds nothing to the answer."""
        return self._chunk(0, {"content": ""}, None, None)

    def opening(self, fingerprint: str) -> bytes:
        """The role of every choice; `fingerprint` of the model stands in this and every later chunk."""
        self._head["system_fingerprint"] = fingerprint
        choices = range(self._count)
        self._texts = [self._around(index, "content") for index in choices]
        self._reasonings = [self._around(index, "reasoning", "reasoning_content") for index in choices]
        delta = {"role": "assistant", "content": "", "refusal": None}
        return b"".join(self._chunk(index, delta, None, None) for index in choices)

    def frames(self, items: list[Item]) -> bytes:
        if len(items) == 1:
            return self._event(*items[0])
        return b"".join(self._event(index, event) for index, event in merged(items))

    def closing(self, prompt_tokens: int) -> bytes:
        done = b"data: [DONE]\n\n"
        if not self._with_usage:
            return done
        document = self._head | {"choices": [], "usage": usage(self._ends, [prompt_tokens])}
        return b"data: " + encode(document) + b"\n\n" + done

    def _event(self, index: int, event: Delta | Finished) -> bytes:
        if isinstance(event, Delta):
            if event.text and not event.reasoning and not event.tool_calls and not self._with_logprobs:
                before, after = self._texts[index]
                return before + encode(event.text) + after
            return self._mixed(index, event)
        self._ends.append(event)
        return self._chunk(index, {}, None, event.reason)

    def _mixed(self, index: int, event: Delta) -> bytes:
        """Reasoning, text and tool calls in chunks of their own; log-probabilities go with the first."""
        probabilities = logprobs(event.logprobs) if self._with_logprobs and event.logprobs else None
        chunks: list[bytes] = []
        if event.reasoning:
            if probabilities is None:
                before, middle, after = self._reasonings[index]
                text = encode(event.reasoning)
                chunks.append(before + text + middle + text + after)
            else:
                delta = {"reasoning": event.reasoning, "reasoning_content": event.reasoning}
                chunks.append(self._chunk(index, delta, probabilities, None))
                probabilities = None
        if event.text or probabilities is not None:
            chunks.append(self._chunk(index, {"content": event.text}, probabilities, None))
        if calls := [_part(call) for call in event.tool_calls if self._parallel or call.index == 0]:
            chunks.append(self._chunk(index, {"tool_calls": calls}, None, None))
        return b"".join(chunks)

    def _chunk(self, index: int, delta: dict[str, Any], probabilities: object, reason: str | None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": probabilities, "finish_reason": reason}
        return b"data: " + encode(self._head | {"choices": [choice]} | self._tail) + b"\n\n"

    def _around(self, index: int, *fields: str) -> list[bytes]:
        """The constant parts of a chunk whose `fields` all hold one changing text."""
        return self._chunk(index, dict.fromkeys(fields, HOLE), None, None).split(encode(HOLE))
