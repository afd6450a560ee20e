"""What the Responses API answers, as types; of items and events, what all of a kind have."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from .openai_answers import CachedTokens, ReasoningTokens, TokenLogprob


class InputTokensDetails(CachedTokens):
    cache_write_tokens: int


class ResponseUsage(msgspec.Struct):
    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: ReasoningTokens
    total_tokens: int


class OutputPart(msgspec.Struct):
    type: Literal["output_text", "reasoning_text", "summary_text", "refusal"]
    text: str | UnsetType = UNSET
    refusal: str | UnsetType = UNSET
    annotations: list[Any] | UnsetType = UNSET
    logprobs: list[TokenLogprob] | UnsetType = UNSET


class OutputItem(msgspec.Struct):
    """A message, a thought, or a call; which fields it has follows from `type`."""

    id: str
    type: Literal["message", "reasoning", "function_call", "custom_tool_call"]
    status: Literal["in_progress", "completed", "incomplete"] | UnsetType = UNSET
    role: Literal["assistant"] | UnsetType = UNSET
    phase: str | UnsetType | None = UNSET
    content: list[OutputPart] | UnsetType | None = UNSET
    summary: list[OutputPart] | UnsetType = UNSET
    encrypted_content: str | UnsetType | None = UNSET
    call_id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    namespace: str | UnsetType | None = UNSET
    arguments: str | UnsetType = UNSET
    input: str | UnsetType = UNSET


class Failed(msgspec.Struct):
    code: str
    message: str
    param: str | None


class Incomplete(msgspec.Struct):
    reason: Literal["max_output_tokens"]


class Response(msgspec.Struct):
    """`prompt_truncated`: items were left out to fit the context."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Literal["in_progress", "completed", "incomplete", "failed", "cancelled"]
    background: bool
    error: Failed | None
    incomplete_details: Incomplete | None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputItem]
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    prompt_cache_retention: str | None
    reasoning: dict[str, Any]
    safety_identifier: str | None
    service_tier: str
    store: bool
    temperature: float | None
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float | None
    truncation: Literal["auto", "disabled"]
    usage: ResponseUsage | None
    user: str | None
    prompt_truncated: bool | UnsetType = UNSET


class ResponseEvent(msgspec.Struct):
    """The rest follows from `type`, such as `response.output_text.delta`, as OpenAI's reference has it."""

    type: str
    sequence_number: int


class DeletedResponse(msgspec.Struct):
    id: str
    object: Literal["response"]
    deleted: bool


class InputItems(msgspec.Struct):
    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


class InputTokens(msgspec.Struct):
    object: Literal["response.input_tokens"]
    input_tokens: int
