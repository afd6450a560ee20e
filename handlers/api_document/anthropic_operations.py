"""Anthropic's Messages API, as the document describes it."""

from __future__ import annotations

from collections.abc import Mapping

from ..anthropic import blocks, bodies
from . import field_shapes as shapes
from .answers import anthropic_answers as answers
from .operation import OF_A_MODEL, SSE, Answer, Body, Operation

_MESSAGES = """
Also with `?beta=true`. Headers: `x-api-key` or `Authorization: Bearer`; `anthropic-version` and `anthropic-beta`
may say what they like. Answers have the header `request-id`. Messages of one role that follow each other are one;
results of tools come first in theirs; an assistant's message at the end is continued. While a model loads or a prompt
is computed, a stream has a `ping` every 10 seconds.
"""
_COUNT_TOKENS = """
The answer: `{"input_tokens"}`, which is what `usage` of the same message counts, cached tokens included.
"""
_INNER = {
    "messages[]": Body(bodies.Message),
    "messages[].content[]": Body(blocks.Block, blocks.BLOCK_FIELDS),
}
_QUESTION = [{"role": "user", "content": "Why is the sky blue?"}]

OPERATIONS: Mapping[str, Operation] = {
    "/v1/messages": Operation(
        "Anthropic",
        "Answer a conversation",
        (
            Answer("The whole message.", answers.AnsweredMessage),
            Answer("With `stream`: server-sent events, each with its `type`.", answers.MessageEvent, SSE),
        ),
        Body(
            bodies.MessagesBody,
            bodies.MESSAGES_FIELDS,
            _MESSAGES,
            _INNER,
            shapes={"model": shapes.NAME},
            example={"model": "starter", "max_tokens": 64, "messages": _QUESTION},
        ),
        errors=OF_A_MODEL,
        notice=True,
    ),
    "/v1/messages/count_tokens": Operation(
        "Anthropic",
        "Count the tokens of a conversation",
        (Answer("The count.", answers.InputTokens),),
        Body(
            bodies.Conversation,
            bodies.CONVERSATION_FIELDS,
            _COUNT_TOKENS,
            _INNER,
            shapes={"model": shapes.NAME},
            example={"model": "starter", "messages": _QUESTION},
        ),
        errors=OF_A_MODEL,
    ),
}
