"""What the OpenAI endpoints answer, as types: for the document, and for the tests that check answers by it."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

Reason = Literal["stop", "length", "tool_calls", "content_filter"]


class CachedTokens(msgspec.Struct):
    cached_tokens: int


class ReasoningTokens(msgspec.Struct):
    reasoning_tokens: int


class Usage(msgspec.Struct):
    """Tokens. A prompt that several choices share is counted once."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens
    completion_tokens_details: ReasoningTokens


class TopLogprob(msgspec.Struct):
    """`logprob` is null where the token could not come."""

    token: str
    logprob: float | None
    bytes: list[int]


class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class Logprobs(msgspec.Struct):
    content: list[TokenLogprob]


class CalledFunction(msgspec.Struct):
    """`arguments` is JSON text."""

    name: str
    arguments: str


class ToolCall(msgspec.Struct):
    id: str
    type: Literal["function"]
    function: CalledFunction


class AnswerMessage(msgspec.Struct):
    """`reasoning` and `reasoning_content` are the same text: the thought of a model that thinks."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCall] | UnsetType = UNSET


class Choice(msgspec.Struct):
    index: int
    message: AnswerMessage
    logprobs: Logprobs | None
    finish_reason: Reason


class _Head(msgspec.Struct, kw_only=True):
    id: str
    created: int
    model: str
    system_fingerprint: str
    service_tier: str | UnsetType = UNSET


class ChatCompletion(_Head, kw_only=True):
    object: Literal["chat.completion"]
    choices: list[Choice]
    usage: Usage


class FunctionPart(msgspec.Struct):
    arguments: str
    name: str | UnsetType = UNSET


class ToolCallPart(msgspec.Struct):
    """Only the first part of a call has `id`, `type` and a name."""

    index: int
    function: FunctionPart
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET


class ChatDelta(msgspec.Struct):
    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    refusal: UnsetType | None = UNSET
    reasoning: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCallPart] | UnsetType = UNSET


class ChunkChoice(msgspec.Struct):
    index: int
    delta: ChatDelta
    logprobs: Logprobs | None
    finish_reason: Reason | None


class ChatCompletionChunk(_Head, kw_only=True):
    """`usage` is there with `stream_options.include_usage`: null but in the last chunk, which has no choices."""

    object: Literal["chat.completion.chunk"]
    choices: list[ChunkChoice]
    usage: Usage | UnsetType | None = UNSET


class LegacyLogprobs(msgspec.Struct):
    """Parallel lists, an entry a token; `text_offset` counts characters of the text."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float | None] | None]
    text_offset: list[int]


class CompletionChoice(msgspec.Struct):
    text: str
    index: int
    logprobs: LegacyLogprobs | None
    finish_reason: Reason


class Completion(_Head, kw_only=True):
    object: Literal["text_completion"]
    choices: list[CompletionChoice]
    usage: Usage


class CompletionChunkChoice(msgspec.Struct):
    text: str
    index: int
    logprobs: LegacyLogprobs | None
    finish_reason: Reason | None


class CompletionChunk(_Head, kw_only=True):
    object: Literal["text_completion"]
    choices: list[CompletionChunkChoice]
    usage: Usage | UnsetType | None = UNSET


class Embedding(msgspec.Struct):
    """`embedding` is base64 of little-endian float32 where `encoding_format` asks for that. `truncated`: the input was
    cut."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str
    truncated: bool | UnsetType = UNSET


class PromptUsage(msgspec.Struct):
    prompt_tokens: int
    total_tokens: int


class Embeddings(msgspec.Struct):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: PromptUsage


class Model(msgspec.Struct):
    """`context_length` in tokens, where the model's files say it."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    capabilities: list[str]
    context_length: int | UnsetType = UNSET


class Models(msgspec.Struct):
    object: Literal["list"]
    data: list[Model]


class ErrorDetails(msgspec.Struct):
    """`param` names the field at fault, `code` is a stable word for programs."""

    message: str
    type: Literal["invalid_request_error", "server_error"]
    param: str | None
    code: str | None


class Error(msgspec.Struct):
    error: ErrorDetails
