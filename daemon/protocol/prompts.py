"""The prompts of a model: messages, text, or token ids."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .immutable import Value


class Picture(Value, frozen=True):
    """A picture of a conversation: the bytes of its file (PNG, JPEG, WebP, …) as they came, not decoded yet.

    `digest` is the SHA-256 of `data` in hex. `detail` is how closely the client wants it looked at, None for what the
    model's makers set. `param` names the field of the client's request that it came in.
    """

    data: bytes
    digest: str
    detail: Literal["low", "high"] | None = None
    param: str = "messages"


class ChatPrompt(Value, frozen=True, tag="chat"):
    """Messages for the model's own chat template.

    `messages` are template-ready: role, content, and optional `thinking`, `tool_calls`, `tool_name`, `tool_call_id`;
    tool-call arguments are objects. Content is text, or where a message has pictures a list of parts, {"type": "text",
    "text": …} and {"type": "image"}: the i-th image part of all messages stands for `pictures[i]`. `drop_oldest` lets
    the child leave out the oldest messages (never a system message, never the last one) until the prompt fits the
    context. `template` (Jinja) takes the place of the model's own. `open_answer` False: the template does not begin the
    assistant's turn. A reasoning block is closed after `thinking_budget` tokens.
    """

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()
    thinking: bool | Literal["low", "medium", "high"] | None = None
    thinking_budget: int | None = None
    template: str | None = None
    template_options: dict[str, Any] = msgspec.field(default_factory=dict)
    continue_last: bool = False
    open_answer: bool = True
    drop_oldest: bool = False
    pictures: tuple[Picture, ...] = ()


class TextPrompt(Value, frozen=True, tag="text"):
    """Text for the tokenizer as it is; special tokens (BOS) are added when the tokenizer does so by itself.

    `history` are token ids of an earlier turn (Ollama's `context`), put in front. `drop_middle` lets the child cut a
    text that is too long. With `suffix` the answer is what stands between `text` and it, by the model's
    fill-in-the-middle tokens; then there is no history, and special tokens that the texts spell are text. Of a text
    that a chat template made, `template` is the one that took the place of the model's own.
    """

    text: str
    add_special_tokens: bool = True
    history: tuple[int, ...] = ()
    drop_middle: bool = False
    suffix: str | None = None
    template: str | None = None


class TokenPrompt(Value, frozen=True, tag="tokens"):
    """Token ids, each checked against the vocabulary by the child."""

    ids: tuple[int, ...]


Prompt = ChatPrompt | TextPrompt | TokenPrompt
