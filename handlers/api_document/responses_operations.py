"""The Responses API, as the document describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..responses import bodies
from ..responses.input_items import ITEMS
from . import field_shapes as shapes
from .answers import responses_answers as answers
from .operation import OF_A_MODEL, SSE, Answer, Body, Operation, Parameter, Query, Schema

_ABOUT = """
A response that may be kept is given by `GET /v1/responses/{id}`, deleted by `DELETE`, and what it was made from is
listed by `GET /v1/responses/{id}/input_items` (`order`, `limit`, `after`), until the daemon ends or newer ones take its
place. None runs in the background. One that is being streamed is given as far as it is, and cancelled by
`POST /v1/responses/{id}/cancel` or by closing its connection; one that has ended cannot be cancelled (400).

`output` has items of type `reasoning`, `message`, `function_call` and `custom_tool_call`; a call of a namespace's tool
has `namespace` beside `name`. A stream has all events of these; while a model is loaded, waits or reads,
`response.in_progress` comes every 10 seconds. A failure in a stream is an `error`, then `response.failed`.
`prompt_truncated` in a response says that items were left out to fit the context.
"""
_ITEM = msgspec.defstruct(
    "InputItem",
    [
        (name, Any, None)
        for name in {each.encode_name: 0 for kind in ITEMS.values() for each in msgspec.structs.fields(kind)}
    ],
)
"""The fields that items of input have, of one kind or another."""
_SHAPES: Mapping[str, Schema] = {
    "model": shapes.NAME,
    "stop": shapes.STOP,
    "seed": shapes.SEED,
    "keep_alive": shapes.KEEP_ALIVE,
    "tool_choice": shapes.TOOL_CHOICE,
    "input": {
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"$ref": "#/components/schemas/responses.InputItem"}},
        ]
    },
}
_INPUT_TOKENS = """
How many tokens `/v1/responses` would read of the same body: `{"object": "response.input_tokens", "input_tokens"}`. The
model is not loaded, and nothing is generated or kept.
"""
_IDENTITY = (Parameter("id", "The response's id."),)

OPERATIONS: Mapping[str, Operation] = {
    "/v1/responses": Operation(
        "OpenAI",
        "Answer a conversation of items",
        (
            Answer("The whole response.", answers.Response),
            Answer("With `stream`: server-sent events, each with its `type`.", answers.ResponseEvent, SSE),
        ),
        Body(
            bodies.ResponseBody,
            bodies.RESPONSE_FIELDS,
            _ABOUT,
            {"input[]": Body(_ITEM, bodies.ITEM_FIELDS)},
            shapes=_SHAPES,
            example={"model": "starter", "input": "Why is the sky blue?", "max_output_tokens": 64},
        ),
        errors=OF_A_MODEL,
        notice=True,
        schemas="responses",
    ),
    "/v1/responses/input_tokens": Operation(
        "OpenAI",
        "Count the tokens that a response would read",
        (Answer("The count.", answers.InputTokens),),
        Body(
            bodies.ResponseBody,
            bodies.RESPONSE_FIELDS,
            _INPUT_TOKENS,
            name="InputTokensBody",
            shapes={**_SHAPES, "keep_alive": {"description": "Ignored: no model is loaded.", "x-support": "ignored"}},
            example={"model": "starter", "input": "Why is the sky blue?"},
        ),
        errors=OF_A_MODEL,
        schemas="responses",
    ),
    "/v1/responses/{id}": Operation(
        "OpenAI",
        "A response that is kept or being streamed, given or deleted",
        (
            Answer("The response.", answers.Response, methods=("GET", "HEAD")),
            Answer("It is forgotten.", answers.DeletedResponse, methods=("DELETE",)),
        ),
        errors=(404,),
        parameters=_IDENTITY,
        bodiless=True,
        schemas="responses",
    ),
    "/v1/responses/{id}/cancel": Operation(
        "OpenAI",
        "Cancel a response that is being streamed",
        (Answer("The response, cancelled.", answers.Response),),
        errors=(404,),
        parameters=_IDENTITY,
        bodiless=True,
        schemas="responses",
    ),
    "/v1/responses/{id}/input_items": Operation(
        "OpenAI",
        "What a kept response was made from",
        (Answer("A page of its items.", answers.InputItems),),
        errors=(404,),
        parameters=_IDENTITY,
        queries=(
            Query("order", "Newest first unless it is `asc`.", {"enum": ["asc", "desc"]}),
            Query("limit", "How many items.", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
            Query("after", "The id of the item before the first one."),
        ),
        schemas="responses",
    ),
}
