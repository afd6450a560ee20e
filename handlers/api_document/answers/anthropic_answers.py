"""What Anthropic's endpoints answer, as types; of events, what all have."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType


class AnswerBlock(msgspec.Struct):
    """A text, a thought or a call; which fields it has follows from `type`."""

    type: Literal["text", "thinking", "tool_use"]
    text: str | UnsetType = UNSET
    thinking: str | UnsetType = UNSET
    signature: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    input: dict[str, Any] | UnsetType = UNSET


class AnsweredMessage(msgspec.Struct):
    """`usage` counts tokens; those of the prompt that were found in the cache stand apart, as Anthropic has it."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[AnswerBlock]
    stop_reason: str | None
    stop_sequence: str | None
    usage: dict[str, Any]


class MessageEvent(msgspec.Struct):
    """The rest follows from `type`, such as `content_block_delta`, as Anthropic's reference has it."""

    type: str


class InputTokens(msgspec.Struct):
    input_tokens: int


class ErrorDetails(msgspec.Struct):
    type: str
    message: str


class Error(msgspec.Struct):
    type: Literal["error"]
    error: ErrorDetails
    request_id: str | UnsetType = UNSET
