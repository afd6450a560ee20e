"""The body of /v1/responses, typed, and which of its fields are not served.

A field that is known and cannot be honoured is refused by name; an unknown one is ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from ...daemon.protocol import Grammar, Sampling
from .. import json_schema as schema
from .. import ranges
from ..decode import Fields, ignored, partly, refuse, refused
from ..openai import bodies as openai
from ..openai.bodies import SamplingFields
from .refusals import converted, invalid, missing

Absent = Raw | UnsetType
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
Summary = Literal["auto", "concise", "detailed"]


class Reasoning(msgspec.Struct, omit_defaults=True):
    effort: str | None = None
    summary: Summary | None = None
    generate_summary: Summary | None = None
    max_tokens: ranges.TokenCountOrZero | None = None

    @property
    def summarized(self) -> bool:
        """Whether thoughts are to be told as a summary."""
        return self.summary is not None or self.generate_summary is not None


class Format(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    name: ranges.Label | None = None
    schema: Any = None
    description: str | None = None
    strict: bool | None = None


class TextOptions(msgspec.Struct):
    format: Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class StreamOptions(msgspec.Struct):
    include_obfuscation: bool | None = None


class ResponseBody(SamplingFields, kw_only=True):
    """`input` is a text or the JSON of each item, which `input_items` reads. `text` and `tools` are echoed as they
    came, and read once more for what they mean."""

    model: ranges.ModelName
    input: str | list[Raw]
    instructions: str | None = None
    previous_response_id: ranges.Label | None = None
    max_output_tokens: ranges.TokenCount | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: ranges.TokenCount | None = None
    text: dict[str, Any] | None = None
    reasoning: Reasoning | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: bool | None = None
    metadata: Metadata | None = None
    include: list[ranges.Label] | None = None
    top_logprobs: ranges.TopLogprobs | None = None
    truncation: Literal["auto", "disabled"] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: ranges.Label | None = None
    safety_identifier: str | None = None
    service_tier: ranges.Label | None = None
    user: str | None = None
    client_metadata: dict[str, Any] | None = None
    seed: int | None = None
    logit_bias: ranges.Biases | None = None
    stop: str | list[str] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    keep_alive: Any = None
    background: bool | None = None
    conversation: Absent = UNSET
    prompt: Absent = UNSET
    context_management: Absent = UNSET
    moderation: Absent = UNSET


decoder = msgspec.json.Decoder(ResponseBody)
_text_options = msgspec.json.Decoder(TextOptions)

_ABOUT_THE_ACCOUNT = ignored("there are no accounts here; it is echoed")
RESPONSE_FIELDS: Fields = {
    "input": partly("a text, or items; see below"),
    "instructions": partly("a text"),
    "tools": partly(
        "`function`, `custom` (offered as a function of one text; its grammar is told to the model, and a regular "
        "expression is kept where the call is forced) and `namespace`, for models whose chat template takes tools; "
        "others refuse them. `strict` is false where it is left out. Hosted tools are left out of the prompt, and the "
        "header `X-MLX-Serve-Notice` names them"
    ),
    "tool_choice": partly(
        "`auto`, `none`, `required`, a function, a custom tool, `allowed_tools`; calls are forced for models whose "
        "notation of calls is known; a hosted tool is refused"
    ),
    "text": partly("`format`; `verbosity` is echoed, for chat templates do not take it"),
    "reasoning": partly(
        "`effort` and `max_tokens` for models that can think; of others `effort` is ignored, which the header "
        "`X-MLX-Serve-Notice` says, and `max_tokens` refused; with `summary` thoughts come as a summary, which is all "
        "of them, else as `reasoning_text`; the rest is ignored"
    ),
    "include": partly(
        "`message.output_text.logprobs`, and `reasoning.encrypted_content`, which is the thought's text in base64; "
        "what hosted tools would add is ignored"
    ),
    "store": partly("true where it is left out: kept in memory for its API key, 500 within 64 MiB, the last used ones"),
    "previous_response_id": partly("of a response that is kept"),
    "stream_options": partly("`include_obfuscation` is ignored: nothing is padded"),
    "max_tool_calls": ignored("it counts calls of hosted tools, and there are none; it is echoed"),
    "prompt_cache_key": ignored("prompts are found in the cache by what they say; it is echoed"),
    "prompt_cache_retention": ignored("prompts are found in the cache by what they say; it is echoed"),
    "prompt_cache_options": ignored("prompts are found in the cache by what they say"),
    "safety_identifier": _ABOUT_THE_ACCOUNT,
    "service_tier": _ABOUT_THE_ACCOUNT,
    "user": _ABOUT_THE_ACCOUNT,
    "client_metadata": ignored("it is about the client"),
    "access_programs": ignored("there are no accounts here"),
    "background": refused("ask with 'stream', or wait for the answer"),
    "conversation": refused("use 'previous_response_id', or send the items"),
    "prompt": refused("there are no stored prompts; send 'input' and 'instructions'"),
    "context_management": refused("nothing is compacted; use 'truncation'"),
    "moderation": refused("there is no moderation model"),
}
ITEM_FIELDS: Fields = {
    "type": partly(
        "`message`, `function_call`, `function_call_output`, `custom_tool_call`, `custom_tool_call_output`, "
        "`reasoning`, `item_reference` of items that are kept; items of hosted tools are left out of the prompt; "
        "others are refused"
    ),
    "content": partly(
        "text, and parts of type `input_text`, `output_text`, `refusal` and, for models that see, in messages of the "
        "role `user`, `input_image`; audio, video and files are refused"
    ),
    "output": partly("text, and parts of type `input_text` and, for models that see, `input_image`"),
    "encrypted_content": partly("what this server gave; another's is ignored"),
}

INCLUDABLE = {
    *("message.output_text.logprobs", "reasoning.encrypted_content", "file_search_call.results"),
    *("web_search_call.results", "web_search_call.action.sources", "message.input_image.image_url"),
    *("computer_call_output.output.image_url", "code_interpreter_call.outputs"),
}


def check(body: ResponseBody) -> None:
    """What types cannot express. Raises RequestError."""
    if not body.model:
        raise invalid("model", "it is empty")
    refuse(body, RESPONSE_FIELDS)
    if body.stream_options is not None and not body.stream:
        raise invalid("stream_options", "it needs 'stream': true")
    for index, name in enumerate(body.include or ()):
        if name not in INCLUDABLE:
            raise invalid(f"include[{index}]", f"it is none of {', '.join(sorted(INCLUDABLE))}")


def includes(body: ResponseBody, name: str) -> bool:
    return name in (body.include or ())


def logprobs(body: ResponseBody) -> int | None:
    """How many alternatives each token of the text is to have; None: no log-probabilities."""
    if body.top_logprobs:
        return body.top_logprobs
    return 0 if includes(body, "message.output_text.logprobs") else None


def sampling(body: ResponseBody) -> Sampling:
    return openai.sampling(body)


def grammar(body: ResponseBody) -> Grammar | None:
    """What `text.format` says the answer must look like. Raises RequestError."""
    if body.text is None:
        return None
    wanted = converted(body.text, _text_options, "text").format
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return Grammar(type="json", param="text.format")
    if wanted.schema is None:
        raise missing("text.format.schema")
    if not wanted.name:
        raise missing("text.format.name")
    return schema.grammar(msgspec.json.encode(ranges.plain(wanted.schema, "text.format.schema")), "text.format.schema")
