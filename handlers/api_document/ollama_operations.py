"""The Ollama endpoints, as the document describes them."""

from __future__ import annotations

from collections.abc import Mapping

from ..ollama import bodies, create, embed
from . import field_shapes as shapes
from .answers import ollama_answers as answers
from .operation import NDJSON, OF_A_MODEL, OF_THE_HUB, Answer, Body, Operation, Parameter

_KEPT = {"keep_alive": shapes.KEEP_ALIVE, "options": shapes.options()}
_SHARED_SHAPES = {
    **_KEPT,
    "think": shapes.THINK,
    "format": shapes.FORMAT,
    "top_logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": 20},
}
_MESSAGES = {"messages[]": Body(bodies.Message, bodies.MESSAGE_FIELDS)}
_LINES = "Unless `stream` is false: one JSON document a line, the last one with `done`. A stream that fails ends with "
_LINES += 'a line `{"error": …}`.'
_STEPS = 'Unless `stream` is false: a line for each step. Work that fails ends with a line `{"error": …}`.'
_QUESTION = [{"role": "user", "content": "Why is the sky blue?"}]

OPERATIONS: Mapping[str, Operation] = {
    "/api/version": Operation(
        "Ollama", "The version of the server", (Answer("Three dotted numbers.", answers.Version),)
    ),
    "/api/chat": Operation(
        "Ollama",
        "Answer a conversation",
        (Answer("With `stream` false.", answers.ChatAnswer), Answer(_LINES, answers.ChatAnswer, NDJSON)),
        Body(
            bodies.ChatBody,
            bodies.CHAT_FIELDS,
            inner=_MESSAGES,
            required=("model",),
            shapes=_SHARED_SHAPES,
            example={"model": "starter", "messages": _QUESTION, "options": {"num_predict": 64}},
        ),
        "Without `messages` the model is loaded; with `keep_alive` 0 it is unloaded.",
        errors=OF_A_MODEL,
    ),
    "/api/generate": Operation(
        "Ollama",
        "Answer a prompt",
        (Answer("With `stream` false.", answers.GenerateAnswer), Answer(_LINES, answers.GenerateAnswer, NDJSON)),
        Body(
            bodies.GenerateBody,
            bodies.GENERATE_FIELDS,
            required=("model",),
            shapes=_SHARED_SHAPES,
            example={"model": "starter", "prompt": "Why is the sky blue?", "options": {"num_predict": 64}},
        ),
        "Without a `prompt` the model is loaded; with `keep_alive` 0 it is unloaded.",
        errors=OF_A_MODEL,
    ),
    "/api/embed": Operation(
        "Ollama",
        "Vectors of texts",
        (Answer("A vector of length 1 for each input.", answers.EmbedAnswer),),
        Body(
            embed.EmbedBody,
            embed.EMBED_FIELDS,
            required=("model",),
            shapes={**_KEPT, "input": shapes.TEXTS},
            example={"model": "starter-embed", "input": ["blue sky", "green grass"]},
        ),
        errors=OF_A_MODEL,
    ),
    "/api/embeddings": Operation(
        "Ollama",
        "The vector of a text",
        (Answer("The vector, as the model gives it.", answers.EmbeddingsAnswer),),
        Body(
            embed.EmbeddingsBody,
            embed.EMBEDDINGS_FIELDS,
            required=("model",),
            shapes=_KEPT,
            example={"model": "starter-embed", "prompt": "blue sky"},
        ),
        errors=OF_A_MODEL,
    ),
    "/api/tags": Operation("Ollama", "The installed models", (Answer("Every model.", answers.Tags),)),
    "/api/ps": Operation("Ollama", "The models in memory", (Answer("Every loaded model.", answers.RunningModels),)),
    "/api/show": Operation(
        "Ollama",
        "One model in full",
        (Answer("The model.", answers.Shown),),
        Body(bodies.Show, bodies.SHOW_FIELDS, name="Show", example={"model": "starter"}),
        errors=(404,),
    ),
    "/api/copy": Operation(
        "Ollama",
        "A second name for a model",
        (Answer("It has the second name."),),
        Body(bodies.Copy, required=("source", "destination"), example={"source": "starter", "destination": "mine"}),
        errors=(404, 507),
    ),
    "/api/delete": Operation(
        "Ollama",
        "Take a name away; what nothing names is freed later",
        (Answer("It is gone."),),
        Body(bodies.Named, bodies.DELETE_FIELDS, name="Delete", example={"model": "mine"}),
        errors=(404,),
    ),
    "/api/pull": Operation(
        "Ollama",
        "Install a model",
        (Answer("With `stream` false, at the end.", answers.Step), Answer(_STEPS, answers.Step, NDJSON)),
        Body(bodies.Transfer, bodies.PULL_FIELDS, name="Pull", example={"model": "starter"}),
        errors=OF_THE_HUB,
    ),
    "/api/push": Operation(
        "Ollama",
        "Always a 400 with a sentence: there is no registry for models of this store",
        (),
        Body(bodies.Transfer, name="Push", example={"model": "mine"}),
        errors=(404,),
    ),
    "/api/create": Operation(
        "Ollama",
        "A model of another one's files with settings of its own, or of uploaded files",
        (Answer("With `stream` false, at the end.", answers.Step), Answer(_STEPS, answers.Step, NDJSON)),
        Body(
            create.Create,
            create.CREATE_FIELDS,
            shapes={"parameters": shapes.options()},
            example={"model": "mine", "from": "starter", "system": "Answer briefly."},
        ),
        errors=OF_THE_HUB,
    ),
    "/api/blobs/{digest}": Operation(
        "Ollama",
        "A file for a model that will be created; or whether it is there",
        (Answer("It is there."), Answer("It was stored.", status=201, methods=("POST",))),
        errors=(404, 507),
        parameters=(
            Parameter(
                "digest",
                "The SHA-256 of the file's bytes.",
                {"type": "string", "pattern": "^sha256[:-][0-9a-fA-F]{64}$"},
            ),
        ),
        uploads=True,
    ),
}
