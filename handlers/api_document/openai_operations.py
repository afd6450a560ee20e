"""The OpenAI endpoints, as the document describes them."""

from __future__ import annotations

from collections.abc import Mapping

from ..openai import bodies, embeddings
from . import field_shapes as shapes
from .answers import openai_answers as answers
from .operation import OF_A_MODEL, SSE, Answer, Body, Operation, Parameter

_SHARED_SHAPES = {
    "model": shapes.NAME,
    "stop": shapes.STOP,
    "seed": shapes.SEED,
    "keep_alive": shapes.KEEP_ALIVE,
    "guided_json": shapes.SCHEMA,
}
MESSAGES = {"messages[]": Body(bodies.Message, bodies.MESSAGE_FIELDS)}
_STREAMED = (
    "With `stream`: server-sent events, each `data: ` and one chunk; the last one is `data: [DONE]`. Comments keep "
)
_STREAMED += (
    "the connection alive. An error in the middle of the stream is its last event, and the body has no proper end."
)
_QUESTION = [{"role": "user", "content": "Why is the sky blue?"}]

OPERATIONS: Mapping[str, Operation] = {
    "/v1/chat/completions": Operation(
        "OpenAI",
        "Answer a conversation",
        (
            Answer("The whole answer.", answers.ChatCompletion),
            Answer(_STREAMED, answers.ChatCompletionChunk, SSE),
        ),
        Body(
            bodies.ChatBody,
            bodies.CHAT_FIELDS,
            inner=MESSAGES,
            shapes=_SHARED_SHAPES | {"tool_choice": shapes.TOOL_CHOICE},
            example={"model": "starter", "messages": _QUESTION, "max_tokens": 64},
        ),
        errors=OF_A_MODEL,
        notice=True,
    ),
    "/v1/completions": Operation(
        "OpenAI",
        "Continue a text",
        (Answer("The whole answer.", answers.Completion), Answer(_STREAMED, answers.CompletionChunk, SSE)),
        Body(
            bodies.CompletionBody,
            bodies.COMPLETION_FIELDS,
            shapes=_SHARED_SHAPES,
            example={"model": "starter", "prompt": "The sky is", "max_tokens": 16},
        ),
        errors=OF_A_MODEL,
        notice=True,
    ),
    "/v1/embeddings": Operation(
        "OpenAI",
        "Vectors of texts",
        (Answer("A vector for each input, in the order of the inputs.", answers.Embeddings),),
        Body(
            embeddings.EmbeddingBody,
            embeddings.EMBEDDING_FIELDS,
            shapes={
                "model": shapes.NAME,
                "keep_alive": shapes.KEEP_ALIVE,
                "encoding_format": {"enum": [*embeddings.FORMATS, None]},
            },
            example={"model": "starter-embed", "input": ["blue sky", "green grass"]},
        ),
        errors=OF_A_MODEL,
    ),
    "/v1/models": Operation(
        "OpenAI",
        "The installed models",
        (Answer("Every model. Clients that send `anthropic-version` get Anthropic's list.", answers.Models),),
    ),
    "/v1/models/{id}": Operation(
        "OpenAI",
        "One model",
        (Answer("The model, under the id that was asked for.", answers.Model),),
        errors=(404,),
        parameters=(Parameter("id", "A model's name. A slash in it may be written as it is, or as `%2F`."),),
    ),
}
