"""The bodies of OpenAI's chat and legacy completions, typed, and which of their fields are not served.

A field that is known and cannot be honoured is refused by name; an unknown one is ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from ...daemon.parameters import TABLE, Field
from ...daemon.protocol import Sampling
from .. import ranges
from ..decode import Fields, ignored, partly, refuse, refused, unsupported
from ..failure import RequestError
from .structured import ResponseFormat, StructuredOutputs

Absent = Raw | UnsetType
Detail = Literal["auto", "low", "high"]

FALLBACK = Sampling(temperature=1.0, top_p=1.0)


class Function(msgspec.Struct):
    name: str
    arguments: str = "{}"


class Call(msgspec.Struct):
    function: Function
    id: ranges.Label | None = None
    type: str = "function"


class ImageURL(msgspec.Struct):
    url: str
    detail: Detail | None = None


class Part(msgspec.Struct):
    """A part of a message's content. `detail` stands here where `image_url` is a string."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | ImageURL | None = None
    detail: Detail | None = None


class Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: ranges.Label | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: ranges.Label | None = None
    refusal: str | None = None
    audio: Absent = UNSET
    function_call: Absent = UNSET


class ToolFunction(msgspec.Struct, omit_defaults=True):
    name: ranges.Label
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(msgspec.Struct):
    type: str
    function: ToolFunction | None = None


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class ReasoningOptions(msgspec.Struct):
    effort: str | None = None
    max_tokens: ranges.TokenCountOrZero | None = None


def _range(field: Field) -> Meta:
    if field.above:
        return Meta(gt=field.least, le=field.most)
    return Meta(ge=field.least, le=field.most)


if TYPE_CHECKING:
    SamplingFields = msgspec.Struct
else:
    SamplingFields = msgspec.defstruct(
        "SamplingFields",
        [
            (row.openai.name, Annotated[int if row.integer else float, _range(row.openai)] | None, None)
            for row in TABLE.values()
            if row.openai is not None
        ],
        kw_only=True,
    )


class GenerationBody(SamplingFields, kw_only=True):
    """What chat and completions share, beside the sampling parameters of `daemon.parameters`."""

    model: ranges.ModelName
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logit_bias: ranges.Biases | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    n: ranges.ChoiceCount | None = None
    max_tokens: ranges.TokenCountOrZero | None = None
    ignore_eos: bool | None = None
    service_tier: ranges.Label | None = None
    keep_alive: Any = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: Absent = UNSET
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None
    regex: str | None = None
    choice: list[str] | None = None
    prompt_logprobs: Absent = UNSET
    use_beam_search: Absent = UNSET


class ChatBody(GenerationBody, kw_only=True):
    messages: list[Message]
    max_completion_tokens: ranges.TokenCount | None = None
    logprobs: bool | None = None
    top_logprobs: ranges.TopLogprobs | None = None
    tools: list[Tool] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    thinking_budget: ranges.TokenCountOrZero | None = None
    reasoning: ReasoningOptions | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    continue_final_message: bool | None = None
    modalities: list[str] | None = None
    audio: Absent = UNSET
    functions: Absent = UNSET
    function_call: Absent = UNSET
    web_search_options: Absent = UNSET
    chat_template: Absent = UNSET
    documents: Absent = UNSET


class CompletionBody(GenerationBody, kw_only=True):
    prompt: str | list[str | ranges.TokenId | list[ranges.TokenId]]
    suffix: str | None = None
    echo: bool | None = None
    best_of: ranges.ChoiceCount | None = None
    logprobs: ranges.LegacyLogprobs | None = None


class Sampled(Protocol):
    """A body with the sampling parameters of the table, and what else decides what is drawn."""

    logit_bias: ranges.Biases | None
    seed: int | None


chat_decoder = msgspec.json.Decoder(ChatBody)
completion_decoder = msgspec.json.Decoder(CompletionBody)

_ABOUT_THE_ACCOUNT = ignored("there are no accounts here")
_ABOUT_STORAGE = ignored("nothing is stored")

_SHARED_FIELDS: Fields = {
    "structured_outputs": partly("`json`, `json_object`, `regex`, `choice` and `grammar`; the rest is ignored"),
    "stream_options": partly("`include_usage`; the rest is ignored"),
    "prompt_logprobs": refused("log-probabilities are computed for the answer only"),
    "use_beam_search": refused("answers are sampled"),
    "user": _ABOUT_THE_ACCOUNT,
    "safety_identifier": _ABOUT_THE_ACCOUNT,
    "service_tier": ignored("there are no accounts here; it is echoed"),
    "store": _ABOUT_STORAGE,
    "metadata": _ABOUT_STORAGE,
    "prompt_cache_key": _ABOUT_STORAGE,
    "prompt_cache_retention": _ABOUT_STORAGE,
}
CHAT_FIELDS: Fields = {
    **_SHARED_FIELDS,
    "n": partly("1 to 128"),
    "logprobs": partly(
        "`content` lists the content's tokens; `reasoning_content` and `tool_calls` those of thoughts and calls"
    ),
    "tools": partly("functions, for models whose chat template takes tools; others refuse them"),
    "tool_choice": partly("calls are forced for models whose notation of calls is known; others refuse it"),
    "reasoning_effort": partly("for models that can think; others refuse all but `none`"),
    "reasoning": partly("`effort`, as `reasoning_effort`; `max_tokens`, as `thinking_budget`; the rest is ignored"),
    "thinking_budget": partly("for models that can think: their thought ends after so many tokens; others refuse it"),
    "modalities": partly('only `["text"]`'),
    "audio": refused("only text is generated"),
    "functions": refused("use 'tools'"),
    "function_call": refused("use 'tool_choice'"),
    "prediction": ignored("predicted outputs are not used; the answer is the same"),
    "web_search_options": refused("this server does not search the web"),
    "chat_template": refused("the model's own template is used"),
    "documents": refused("put them into the messages"),
    "verbosity": ignored("chat templates do not take it"),
}
MESSAGE_FIELDS: Fields = {
    "content": partly(
        "text, and parts of type `text`, `refusal` and, for models that see, in messages of the roles `user` and "
        "`tool`, `image_url`: pictures as `data:`, `http:` or `https:` URLs; audio, video and files are refused"
    ),
    "name": partly("in messages of the role `tool`; ignored elsewhere"),
    "audio": refused("only text is read"),
    "function_call": refused("use 'tool_calls'"),
}
COMPLETION_FIELDS: Fields = {
    **_SHARED_FIELDS,
    "n": partly("1 to 128, for all prompts together"),
    "best_of": partly("up to 128 for all prompts together; more than `n` cannot be streamed"),
    "logprobs": partly("0 to 5; with `echo` those of the prompt as well"),
    "suffix": partly("for models with fill-in-the-middle tokens; others refuse it; not with token ids or `echo`"),
}


def check_chat(body: ChatBody) -> None:
    """What types cannot express. Raises RequestError."""
    _check_shared(body, CHAT_FIELDS)
    if body.modalities is not None and body.modalities != ["text"]:
        raise unsupported("modalities", "only text is generated")
    if body.max_tokens == 0:
        raise _invalid("max_tokens", "expected at least 1")
    if body.top_logprobs is not None and not body.logprobs:
        raise _invalid("top_logprobs", "it needs 'logprobs': true")
    if body.continue_final_message and (not body.messages or body.messages[-1].role != "assistant"):
        raise _invalid("continue_final_message", "the last message must be the assistant's")


def check_completion(body: CompletionBody) -> None:
    """What types cannot express. Raises RequestError."""
    _check_shared(body, COMPLETION_FIELDS)
    if body.max_tokens == 0 and not body.echo:
        raise _invalid("max_tokens", "0 needs 'echo': true")
    if body.suffix and body.echo:
        raise _invalid("suffix", "the prompt of an insertion is not echoed; leave out 'echo'")
    copies = body.n or 1
    if body.best_of is not None and body.best_of < copies:
        raise _invalid("best_of", "it must be at least 'n'")
    if body.best_of is not None and body.best_of > copies and body.stream:
        raise _invalid(
            "best_of", "the best answers are known at the end only; leave out 'stream', or make it equal 'n'"
        )


def _check_shared(body: GenerationBody, fields: Fields) -> None:
    if not body.model:
        raise _invalid("model", "it is empty")
    refuse(body, fields)
    if body.stream_options is not None and not body.stream:
        raise _invalid("stream_options", "it needs 'stream': true")


def sampling(body: Sampled) -> Sampling:
    values = {name: getattr(body, row.openai.name) for name, row in TABLE.items() if row.openai is not None}
    given: dict[str, Any] = {name: TABLE[name].clamped(value) for name, value in values.items() if value is not None}
    return Sampling(**given, logit_bias=ranges.biases(body.logit_bias), seed=ranges.seed(body.seed))


def clamping(max_tokens: int | None, context_length: int, param: str) -> str | None:
    """What to tell a client that asks for more tokens than the model's context has: it gets what fits."""
    if max_tokens is None or max_tokens <= context_length:
        return None
    return f"{param} {max_tokens} is more than the model's context of {context_length} tokens; the answer ends there"


def _invalid(param: str, why: str) -> RequestError:
    return RequestError(f"invalid value for '{param}': {why}", param=param, code="invalid_value")
