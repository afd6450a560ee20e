"""The bodies of Anthropic's Messages API, typed, and which of their fields are not served.

A field that is known and cannot be honoured is refused by name; an unknown one is ignored, and so are those that Claude
Code sends whatever it talks to. Source: the types of Anthropic's own `anthropic` package.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from .. import ranges
from ..decode import Fields, ignored, partly, refuse, refused
from ..failure import RequestError
from .blocks import Block, Tool

Absent = Raw | UnsetType
Effort = Literal["low", "medium", "high", "xhigh", "max"]


class Message(msgspec.Struct):
    """`clear_at`: a message of the role system may stand for the user's turn before it only."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]
    clear_at: Literal["next_user_message", "never"] | None = None


class ToolChoice(msgspec.Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: ranges.Label | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(msgspec.Struct):
    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: ranges.TokenCount | None = None
    display: str | None = None


class OutputFormat(msgspec.Struct):
    type: Literal["json_schema"]
    schema: Raw


class OutputConfig(msgspec.Struct):
    effort: Effort | None = None
    format: OutputFormat | None = None


class Conversation(msgspec.Struct, kw_only=True):
    """What the prompt is made of, and so what `count_tokens` takes."""

    model: ranges.ModelName
    messages: list[Message]
    system: str | list[Block] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    mcp_servers: Absent = UNSET
    container: Absent = UNSET


class MessagesBody(Conversation, kw_only=True):
    max_tokens: ranges.TokenCountOrZero
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: ranges.TokenCountOrZero | None = None


messages_decoder = msgspec.json.Decoder(MessagesBody)
count_decoder = msgspec.json.Decoder(Conversation)

_ABOUT_THE_ACCOUNT = ignored("there are no accounts here")
CONVERSATION_FIELDS: Fields = {
    "system": partly(
        "text, and blocks of type `text`; a first line that begins with `x-anthropic-billing-header:` is left out, "
        "for it differs between conversations"
    ),
    "tools": partly(
        "functions, for models whose chat template takes tools; others refuse them. Tools of other types, which "
        "Anthropic runs or knows, are left out, and those with `defer_loading` until a `tool_reference` names them; "
        "`strict` is honoured, what else a tool has is ignored"
    ),
    "tool_choice": partly("calls are forced for models whose notation of calls is known; others refuse it"),
    "thinking": partly(
        "for models that can think, off where it is left out; others ignore it. `budget_tokens` may be 1 or more; "
        "`between_tools` is `adaptive`; `display` `omitted` leaves the thought out of the answer, and the signature "
        "brings it back"
    ),
    "output_config": partly(
        "`format`, and `effort` where thinking is on: `xhigh` and `max` are `high`; the rest is ignored"
    ),
    "output_format": partly("the former name of `output_config.format`; one of the two"),
    "mcp_servers": refused("this server calls no MCP servers; offer their tools in 'tools'"),
    "container": refused("nothing is run here"),
    "cache_control": ignored("here and in every block: what can be shared is shared"),
    "context_management": ignored("nothing is cleared; the whole conversation is the prompt"),
    "safeguards": ignored("calls of tools are not classified"),
    "betas": ignored("as is the header `anthropic-beta`"),
}
MESSAGES_FIELDS: Fields = {
    **CONVERSATION_FIELDS,
    "max_tokens": partly("1 or more; what is beyond the model's context is left out, and a header says so"),
    "stop_sequences": partly("16 at most, each of 1 to 1,024 characters"),
    "top_p": partly("more than 0"),
    "metadata": _ABOUT_THE_ACCOUNT,
    "service_tier": _ABOUT_THE_ACCOUNT,
    "inference_geo": _ABOUT_THE_ACCOUNT,
    "user_profile_id": _ABOUT_THE_ACCOUNT,
    "speed": ignored("there is one speed"),
    "diagnostics": ignored("nothing is stored"),
}


def check_conversation(body: Conversation) -> None:
    """What types cannot express. Raises RequestError."""
    if not body.model:
        raise invalid("model", "it is empty")
    refuse(body, CONVERSATION_FIELDS)
    if not body.messages:
        raise invalid("messages", "at least one message is required")
    if body.thinking is not None and body.thinking.type == "enabled" and body.thinking.budget_tokens is None:
        raise missing("thinking.budget_tokens")


def check_messages(body: MessagesBody) -> None:
    """What types cannot express. Raises RequestError."""
    check_conversation(body)
    if body.max_tokens == 0:
        raise invalid("max_tokens", "expected at least 1; there is no cache to be filled in advance")


def invalid(param: str, why: str) -> RequestError:
    return RequestError(f"invalid value for '{param}': {why}", param=param, code="invalid_value")


def missing(param: str) -> RequestError:
    return RequestError(f"missing required field '{param}'", param=param, code="missing_field")
