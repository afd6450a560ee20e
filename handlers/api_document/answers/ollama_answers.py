"""What the Ollama endpoints answer, as types. Durations are in nanoseconds."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType


class CalledFunction(msgspec.Struct):
    index: int
    name: str
    arguments: dict[str, Any]


class ToolCall(msgspec.Struct):
    id: str
    function: CalledFunction


class TopLogprob(msgspec.Struct):
    token: str
    logprob: float | None
    bytes: list[int]


class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob] | UnsetType = UNSET


class DebugInfo(msgspec.Struct):
    rendered_template: str


class _Line(msgspec.Struct, kw_only=True):
    model: str
    created_at: str
    done: bool
    done_reason: Literal["stop", "length", "load", "unload"] | UnsetType = UNSET
    total_duration: int | UnsetType = UNSET
    load_duration: int | UnsetType = UNSET
    prompt_eval_count: int | UnsetType = UNSET
    prompt_eval_cached_count: int | UnsetType = UNSET
    prompt_eval_duration: int | UnsetType = UNSET
    eval_count: int | UnsetType = UNSET
    eval_duration: int | UnsetType = UNSET
    context: list[int] | UnsetType = UNSET
    prompt_truncated: bool | UnsetType = UNSET
    logprobs: list[TokenLogprob] | UnsetType = UNSET
    debug_info: DebugInfo | UnsetType = msgspec.field(default=UNSET, name="_debug_info")


class AnswerMessage(msgspec.Struct):
    role: Literal["assistant"]
    content: str
    thinking: str | UnsetType = UNSET
    tool_calls: list[ToolCall] | UnsetType = UNSET


class ChatAnswer(_Line, kw_only=True):
    """The whole answer, or a line of a stream; the counts and durations are in the last line. `prompt_truncated`: the
    oldest messages were left out to fit the context."""

    message: AnswerMessage


class GenerateAnswer(_Line, kw_only=True):
    """The whole answer, or a line of a stream. `context` is what a next request can go on from."""

    response: str
    thinking: str | UnsetType = UNSET
    tool_calls: list[ToolCall] | UnsetType = UNSET


class EmbedAnswer(msgspec.Struct):
    model: str
    embeddings: list[list[float]]
    total_duration: int | UnsetType = UNSET
    load_duration: int | UnsetType = UNSET
    prompt_eval_count: int | UnsetType = UNSET
    prompt_truncated: bool | UnsetType = UNSET


class EmbeddingsAnswer(msgspec.Struct):
    embedding: list[float]


class Details(msgspec.Struct):
    parent_model: str
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str
    context_length: int | UnsetType = UNSET
    embedding_length: int | UnsetType = UNSET


class Tag(msgspec.Struct):
    """`size` in bytes, `digest` of the manifest."""

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: Details
    capabilities: list[str]


class Tags(msgspec.Struct):
    models: list[Tag]


class Running(msgspec.Struct):
    """`size` and `size_vram` in bytes of memory; `size_vram` is 0 on a CPU."""

    name: str
    model: str
    size: int
    digest: str
    details: Details
    expires_at: str
    size_vram: int
    context_length: int


class RunningModels(msgspec.Struct):
    models: list[Running]


class ShownMessage(msgspec.Struct):
    role: str
    content: Any


class Tensor(msgspec.Struct):
    name: str
    type: str
    shape: list[int]


class Shown(msgspec.Struct):
    """`tensors` with `verbose`."""

    modelfile: str
    details: Details
    model_info: dict[str, Any]
    capabilities: list[str]
    modified_at: str
    parameters: str | UnsetType = UNSET
    system: str | UnsetType = UNSET
    messages: list[ShownMessage] | UnsetType = UNSET
    template: str | UnsetType = UNSET
    license: str | UnsetType = UNSET
    tensors: list[Tensor] | UnsetType = UNSET


class Step(msgspec.Struct):
    """A step of the work; the last one's status is `success`. `total` and `completed` in bytes."""

    status: str
    digest: str | UnsetType = UNSET
    total: int | UnsetType = UNSET
    completed: int | UnsetType = UNSET


class Version(msgspec.Struct):
    """`version` is Ollama's, whose API is spoken; `mlx_serve` is ours."""

    version: str
    mlx_serve: str


class Error(msgspec.Struct):
    error: str
