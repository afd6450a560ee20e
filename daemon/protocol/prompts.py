"""The prompts of a model: messages, text, or token ids."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .immutable import Value


class ChatPrompt(Value, frozen=True, tag="chat"):
    """Messages for the model's own chat template.

    `messages` are template-ready: role, content (text), and optional `thinking`, `tool_calls`, `tool_name`,
    `tool_call_id`; tool-call arguments are objects. `drop_oldest` lets the child leave out the oldest messages (never a
    system message, never the last one) until the prompt fits the context. `template` (Jinja) takes the place of the
    model's own.
    """

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()
    thinking: bool | Literal["low", "medium", "high"] | None = None
    template: str | None = None
    template_options: dict[str, Any] = msgspec.field(default_factory=dict)
    continue_last: bool = False
    drop_oldest: bool = False


class TextPrompt(Value, frozen=True, tag="text"):
    """Text for the tokenizer as it is; special tokens (BOS) are added when the tokenizer does so by itself.

    `history` are token ids of an earlier turn (Ollama's `context`), put in front.
    """

    text: str
    add_special_tokens: bool = True
    history: tuple[int, ...] = ()
    drop_middle: bool = False


class TokenPrompt(Value, frozen=True, tag="tokens"):
    """Token ids, each checked against the vocabulary by the child."""

    ids: tuple[int, ...]


Prompt = ChatPrompt | TextPrompt | TokenPrompt
