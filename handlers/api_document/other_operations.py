"""Reranking, the counting of tokens, and the endpoints for operators, as the document describes them."""

from __future__ import annotations

from collections.abc import Mapping

from ..jina import rerank
from ..page import live_status
from ..tokens import counting, detokenizing
from . import field_shapes as shapes
from .answers import other_answers as answers
from .openai_operations import MESSAGES
from .operation import HTML, JSON, OF_A_MODEL, TEXT, Answer, Body, Operation, Parameter

_TOKENIZE = """
The answer: `{"model", "object": "list", "data": [{"index", "object": "token_count", "token_count", "tokens"?}],
"usage": {"total_tokens"}}`, an entry for each text, or one for a conversation, whose count is the `prompt_tokens` of
`/v1/chat/completions`. `add_special_tokens` is true where it is left out, `return_tokens` false. Every kind of model
has it.
"""
_DETOKENIZE = """
The answer: `{"model", "object": "list", "data": [{"index", "object": "text", "text"}], "usage": {"total_tokens"}}`, an
entry for each list of ids. Bytes that are no UTF-8 become U+FFFD. Every kind of model has it.
"""
_RERANK = Operation(
    "Jina",
    "Order documents by how well they answer a query",
    (Answer("The documents, best first.", answers.Reranked),),
    Body(
        rerank.RerankBody,
        rerank.RERANK_FIELDS,
        inner={"documents[]": Body(rerank.Document)},
        shapes={"model": shapes.NAME, "keep_alive": shapes.KEEP_ALIVE},
        example={
            "model": "starter-rerank",
            "query": "What colour is the sky?",
            "documents": ["The sky is blue.", "Grass is green."],
        },
    ),
    errors=OF_A_MODEL,
)

OPERATIONS: Mapping[str, Operation] = {
    "/v1/rerank": _RERANK,
    "/rerank": _RERANK,
    "/v1/tokenize": Operation(
        "Tokens",
        "Count the tokens of texts or of a conversation",
        (Answer("An entry for each text, or one for the conversation.", answers.TokenCounts),),
        Body(
            counting.TokenizeBody,
            counting.TOKENIZE_FIELDS,
            _TOKENIZE,
            MESSAGES,
            shapes={"model": shapes.NAME, "tool_choice": shapes.TOOL_CHOICE},
            example={"model": "starter", "messages": [{"role": "user", "content": "Why is the sky blue?"}]},
        ),
        errors=OF_A_MODEL,
    ),
    "/v1/detokenize": Operation(
        "Tokens",
        "The texts of token ids",
        (Answer("A text for each list of ids.", answers.DetokenizedTexts),),
        Body(
            detokenizing.DetokenizeBody,
            detokenizing.DETOKENIZE_FIELDS,
            _DETOKENIZE,
            shapes={"model": shapes.NAME},
            example={"model": "starter", "tokens": [1, 2, 3]},
        ),
        errors=OF_A_MODEL,
    ),
    "/": Operation(
        "Operation",
        "Whether something listens; for browsers, a page to look at",
        (
            Answer("`Ollama is running`.", media=TEXT),
            Answer("For those whose Accept names `text/html`, without a key too, the page.", media=HTML),
        ),
    ),
    "/healthz": Operation(
        "Operation",
        "Whether the process lives",
        (Answer("It does. `X-Mlx-Serve-Instance` is another one for each start.", answers.Health),),
        open=True,
    ),
    "/readyz": Operation(
        "Operation",
        "Whether it can serve",
        (
            Answer("It can; `degraded` while some models are in quarantine.", answers.Readiness),
            Answer("It is shutting down.", answers.Readiness, status=503),
        ),
    ),
    "/metrics": Operation(
        "Operation",
        "Figures for Prometheus",
        (Answer("Prometheus's text format, version 0.0.4.", media=TEXT),),
        errors=(404,),
    ),
    "/openapi.json": Operation("Operation", "This document", (Answer("OpenAPI 3.1.", dict, JSON),)),
    "/docs": Operation(
        "Operation",
        "This document as a page",
        (Answer("A page that needs nothing else. A browser gets it without a key, and it asks for one.", media=HTML),),
    ),
    "/page/status": Operation(
        "Operation",
        "What the page shows: models, queue, memory, pulls",
        (Answer("The figures of the moment.", live_status.LiveStatus),),
    ),
    "/page/{file}": Operation(
        "Operation",
        "A file of the page",
        (
            Answer("The file.", media="text/javascript"),
            Answer("The file.", media="text/css"),
            Answer("The file.", media="image/svg+xml"),
        ),
        parameters=(Parameter("file", "Its name."),),
        errors=(404,),
        open=True,
    ),
}
