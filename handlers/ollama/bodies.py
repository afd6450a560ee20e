"""The bodies of Ollama's endpoints, typed, which of their fields are not served, and what they mean to the engine."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ...daemon.protocol import Grammar, Sampling
from .. import json_schema as schema
from .. import ranges
from ..decode import Fields, ignored, partly
from ..failure import RequestError

FALLBACK = Sampling(temperature=0.8, top_k=40, top_p=0.9, penalty_window=64)
Thinking = bool | Literal["low", "medium", "high"] | None
_LEVELS: dict[str, Literal["low", "medium", "high"]] = {"low": "low", "medium": "medium", "high": "high", "max": "high"}


class Function(msgspec.Struct):
    name: str
    arguments: dict[str, Any] = {}
    index: int | None = None


class Call(msgspec.Struct):
    function: Function
    id: ranges.Label | None = None


class Message(msgspec.Struct):
    role: str = ""
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[Call] | None = None
    tool_name: ranges.Label | None = None
    tool_call_id: ranges.Label | None = None


class Tool(msgspec.Struct):
    function: dict[str, Any]
    type: str = "function"


class GenerationBody(msgspec.Struct, kw_only=True):
    """What chat and generate share. Everything may be absent: an empty document is a request too. `thinking_budget` is
    an addition, and may be one of the `options`."""

    model: ranges.ModelName | None = None
    stream: bool | None = None
    format: Raw | UnsetType = UNSET
    keep_alive: Any = None
    options: dict[str, Any] | None = None
    think: Any = None
    truncate: bool | None = None
    shift: bool | None = None
    thinking_budget: ranges.TokenCountOrZero | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    debug_render_only: bool | None = msgspec.field(default=None, name="_debug_render_only")


class ChatBody(GenerationBody, kw_only=True):
    messages: list[Message] | None = None
    tools: list[Tool] | None = None


class GenerateBody(GenerationBody, kw_only=True):
    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    context: list[ranges.TokenId] | None = None
    raw: bool | None = None
    images: list[str] | None = None


class Named(msgspec.Struct, kw_only=True):
    """A body that only names a model; old clients send `name`."""

    model: ranges.ModelName | None = None
    name: ranges.ModelName | None = None
    verbose: bool | None = None
    stream: bool | None = None

    @property
    def text(self) -> str:
        return self.model or self.name or ""


class Transfer(Named, kw_only=True):
    """A pull or a push."""

    insecure: bool | None = None
    username: str | None = None
    password: str | None = None


class Show(Named, kw_only=True):
    """`system`, `template` and `options` are shown in place of the model's own."""

    system: str | None = None
    template: str | None = None
    options: dict[str, Any] | None = None


class Copy(msgspec.Struct):
    source: ranges.ModelName = ""
    destination: ranges.ModelName = ""


chat_decoder = msgspec.json.Decoder(ChatBody | None)
generate_decoder = msgspec.json.Decoder(GenerateBody | None)
transfer_decoder = msgspec.json.Decoder(Transfer | None)
named_decoder = msgspec.json.Decoder(Named | None)
show_decoder = msgspec.json.Decoder(Show | None)
copy_decoder = msgspec.json.Decoder(Copy | None)


_SHARED_FIELDS: Fields = {
    "thinking_budget": partly("for models that can think: their thought ends after so many tokens; in `options` too"),
    "think": partly("for models that can think; others refuse all but `false`"),
}
CHAT_FIELDS: Fields = {
    **_SHARED_FIELDS,
    "shift": ignored("a context is never shifted; the answer ends when it is full"),
    "tools": partly("for models whose chat template takes tools; others refuse them"),
}
_IMAGES = "in base64, for models that see; others refuse them"
MESSAGE_FIELDS: Fields = {"images": partly(f"{_IMAGES}; in messages of the roles `user` and `tool`")}
GENERATE_FIELDS: Fields = {
    **_SHARED_FIELDS,
    "suffix": partly(
        "for models with fill-in-the-middle tokens; others refuse it; not with `raw`, `system`, `context`, `images` "
        "or `think`"
    ),
    "template": partly("in Jinja, with `messages`; Go templates are refused; not with `raw` or `suffix`"),
    "shift": partly("a context is never shifted, the answer ends when it is full; `false`: as `truncate` false"),
    "images": partly(f"{_IMAGES}; not with `raw` or `context`"),
}
SHOW_FIELDS: Fields = {"stream": ignored("the answer is one document")}
PULL_FIELDS: Fields = {
    "insecure": ignored("the hub is reached as HF_ENDPOINT says"),
    "username": ignored("the daemon's HF_TOKEN is used"),
    "password": ignored("the daemon's HF_TOKEN is used"),
    "verbose": ignored("it has no meaning here"),
}
DELETE_FIELDS: Fields = {
    "verbose": ignored("it has no meaning here"),
    "stream": ignored("the answer is empty"),
}


def check(body: GenerationBody) -> None:
    """Checks that do not depend on the model. Raises RequestError."""
    if body.top_logprobs is not None and not 0 <= body.top_logprobs <= 20:
        raise invalid("top_logprobs must be between 0 and 20", "top_logprobs")


def logprobs(body: GenerationBody) -> int | None:
    return (body.top_logprobs or 0) if body.logprobs else None


def thinking(body: GenerationBody) -> Thinking:
    """None: not given. Raises RequestError."""
    value = body.think
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and value in _LEVELS:
        return _LEVELS[value]
    shown = msgspec.json.encode(value).decode()
    shown = shown if len(shown) <= 64 else shown[:64] + "…"
    raise invalid(f'invalid think value: {shown} (must be "high", "medium", "low", "max", true, or false)', "think")


def grammar(body: GenerationBody) -> Grammar | None:
    """`"json"`, a schema, or nothing. Raises RequestError."""
    source = b"" if isinstance(body.format, UnsetType) else bytes(body.format)
    if source in (b"", b"null", b'""'):
        return None
    if source == b'"json"':
        return Grammar(type="json", param="format")
    if source.startswith(b"{"):
        return schema.grammar(source, "format")
    shown = source.decode(errors="replace")
    shown = shown if len(shown) <= 100 else shown[:100] + "…"
    raise invalid(f'invalid format: {shown}; expected "json" or a valid JSON Schema object', "format")


def invalid(message: str, param: str | None = None) -> RequestError:
    return RequestError(message, param=param, code="invalid_value")
