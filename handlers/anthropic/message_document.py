"""The document of a message, whole or as a stream begins it, and what it says of its end."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

import orjson

from ...daemon.protocol import Finished
from . import thoughts
from .answer_blocks import Begun, Ended, Step


def identity() -> str:
    return "msg_" + secrets.token_hex(12)


def usage(prompt_tokens: int, end: Finished | None, cached: int = 0) -> dict[str, Any]:
    """Anthropic counts tokens that were cached beside those that were not. `end` None: nothing has been generated, and
    so many tokens of the prompt are known from before."""
    cached = min(prompt_tokens, cached if end is None else end.cached_tokens)
    counts: dict[str, Any] = {
        "input_tokens": prompt_tokens - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": 0 if end is None else end.completion_tokens,
    }
    if end is not None:
        counts["output_tokens_details"] = {"thinking_tokens": end.reasoning_tokens}
    return counts


def stopped(end: Finished, *, called: bool) -> dict[str, Any]:
    """`stop_reason` and `stop_sequence`. A call that was cut by the limit ends with that."""
    if end.reason == "length":
        reason = "max_tokens"
    elif called:
        reason = "tool_use"
    else:
        reason = "end_turn" if end.stop_sequence is None else "stop_sequence"
    sequence = end.stop_sequence if reason == "stop_sequence" else None
    return {"stop_reason": reason, "stop_sequence": sequence}


def message(
    model: str,
    content: list[dict[str, Any]],
    prompt_tokens: int,
    end: Finished | None,
    *,
    called: bool = False,
    cached: int = 0,
) -> dict[str, Any]:
    """`end` None: a stream begins, and so many tokens of the prompt are `cached`."""
    ending = {"stop_reason": None, "stop_sequence": None} if end is None else stopped(end, called=called)
    return {
        "id": identity(),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        **ending,
        "usage": usage(prompt_tokens, end, cached),
    }


def content(steps: Iterable[Step], *, omitted: bool) -> list[dict[str, Any]]:
    """The blocks of an answer. `omitted`: thoughts are there by their signature only."""
    blocks: list[dict[str, Any]] = []
    for step in steps:
        if isinstance(step, Begun):
            blocks.append(empty(step))
        elif isinstance(step, Ended):
            blocks[-1] |= _filled(step, omitted=omitted)
    return blocks


def empty(begun: Begun) -> dict[str, Any]:
    """A block as it begins."""
    if begun.kind == "thinking":
        return {"type": "thinking", "thinking": "", "signature": ""}
    if begun.kind == "text":
        return {"type": "text", "text": ""}
    return {"type": "tool_use", "id": begun.id, "name": begun.name, "input": {}}


def _filled(ended: Ended, *, omitted: bool) -> dict[str, Any]:
    if ended.kind == "thinking":
        shown = "" if omitted else ended.text
        return {"thinking": shown, "signature": thoughts.signature(ended.text, held=omitted)}
    if ended.kind == "text":
        return {"text": ended.text}
    # Numbers beyond 64 bits stay what they are.
    return {"input": orjson.Fragment(ended.text or "{}")}
