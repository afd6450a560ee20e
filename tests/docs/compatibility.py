"""docs/compatibility.md: every field of every endpoint, from the bodies and tables that the handlers decode with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mlx_serve.handlers import model_options
from mlx_serve.handlers.anthropic import blocks
from mlx_serve.handlers.anthropic import bodies as anthropic
from mlx_serve.handlers.decode import Fields
from mlx_serve.handlers.guard.check import MANAGEMENT, OPEN
from mlx_serve.handlers.jina import rerank
from mlx_serve.handlers.ollama import bodies as ollama
from mlx_serve.handlers.ollama import create as ollama_create
from mlx_serve.handlers.ollama import embed
from mlx_serve.handlers.openai import bodies as openai
from mlx_serve.handlers.openai import embeddings
from mlx_serve.handlers.responses import bodies as responses
from mlx_serve.handlers.responses.input_items import ITEMS
from mlx_serve.handlers.routes import ROUTES
from mlx_serve.handlers.tokens import counting, detokenizing

_HEAD = """\
<!-- Written by `make docs` from the request bodies in handlers/; edit the texts there. -->

# Compatibility

mlx-serve serves the HTTP APIs of OpenAI, Anthropic and Ollama, and Jina's reranking, and counts tokens. This page says
for each endpoint what becomes of each field:

- **Served** fields do what the documentation of their API says.
- **partly**: served as far as the note says. What goes beyond it is a 400, unless the note calls it ignored.
- **ignored**: accepted, without effect.
- **refused**: a request that asks for something with it gets a 400. Empty values are accepted.

A field that we know and cannot honour is a 400 that names it; a field nobody knows is ignored. A value outside of a
field's range is a 400 that names the field, too.
"""


@dataclass(frozen=True)
class Body:
    """The JSON of one endpoint. `inner` has the bodies of lists and objects in it by the field that holds them.
    `about`: what no other API's documentation says."""

    struct: type[msgspec.Struct]
    fields: Fields = field(default_factory=dict)
    about: str = ""
    inner: Mapping[str, Body] = field(default_factory=dict)


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
_RESPONSES = """
A response that may be kept is given by `GET /v1/responses/{id}`, deleted by `DELETE`, and what it was made from is
listed by `GET /v1/responses/{id}/input_items` (`order`, `limit`, `after`), until the daemon ends or newer ones take its
place. None runs in the background: `POST /v1/responses/{id}/cancel` is a 400 for one that is kept, and one that is
under way is cancelled by closing its connection.

`output` has items of type `reasoning`, `message`, `function_call` and `custom_tool_call`; a call of a namespace's tool
has `namespace` beside `name`. A stream has all events of these; while a model is loaded, waits or reads,
`response.in_progress` comes every 10 seconds. A failure in a stream is an `error`, then `response.failed`.
`prompt_truncated` in a response says that items were left out to fit the context.
"""
_INPUT_TOKENS = """
How many tokens `/v1/responses` would read of the same body: `{"object": "response.input_tokens", "input_tokens"}`. The
model is not loaded, and nothing is generated or kept.
"""
_ITEM = msgspec.defstruct(
    "Item",
    [
        (name, Any, None)
        for name in {each.encode_name: 0 for kind in ITEMS.values() for each in msgspec.structs.fields(kind)}
    ],
)
"""The fields that items of input have, of one kind or another."""
_OLLAMA_MESSAGES = {"messages[]": Body(ollama.Message, ollama.MESSAGE_FIELDS)}
_MESSAGES = """
Also with `?beta=true`. Headers: `x-api-key` or `Authorization: Bearer`; `anthropic-version` and `anthropic-beta`
may say what they like. Answers have the header `request-id`. Messages of one role that follow each other are one;
results of tools come first in theirs; an assistant's message at the end is continued. While a model loads or a prompt
is computed, a stream has a `ping` every 10 seconds.
"""
_COUNT_TOKENS = """
The answer: `{"input_tokens"}`, which is what `usage` of the same message counts, cached tokens included.
"""
_ANTHROPIC_MESSAGES = {
    "messages[]": Body(anthropic.Message),
    "messages[].content[]": Body(blocks.Block, blocks.BLOCK_FIELDS),
}
BODIES: Mapping[str, Body] = {
    "/v1/chat/completions": Body(
        openai.ChatBody, openai.CHAT_FIELDS, inner={"messages[]": Body(openai.Message, openai.MESSAGE_FIELDS)}
    ),
    "/v1/completions": Body(openai.CompletionBody, openai.COMPLETION_FIELDS),
    "/v1/responses": Body(
        responses.ResponseBody, responses.RESPONSE_FIELDS, _RESPONSES, {"input[]": Body(_ITEM, responses.ITEM_FIELDS)}
    ),
    "/v1/responses/input_tokens": Body(responses.ResponseBody, responses.RESPONSE_FIELDS, _INPUT_TOKENS),
    "/v1/embeddings": Body(embeddings.EmbeddingBody, embeddings.EMBEDDING_FIELDS),
    "/v1/messages": Body(anthropic.MessagesBody, anthropic.MESSAGES_FIELDS, _MESSAGES, _ANTHROPIC_MESSAGES),
    "/v1/messages/count_tokens": Body(
        anthropic.Conversation, anthropic.CONVERSATION_FIELDS, _COUNT_TOKENS, _ANTHROPIC_MESSAGES
    ),
    "/v1/rerank": Body(rerank.RerankBody, rerank.RERANK_FIELDS, inner={"documents[]": Body(rerank.Document)}),
    "/rerank": Body(rerank.RerankBody, rerank.RERANK_FIELDS),
    "/v1/tokenize": Body(
        counting.TokenizeBody,
        counting.TOKENIZE_FIELDS,
        _TOKENIZE,
        {"messages[]": Body(openai.Message, openai.MESSAGE_FIELDS)},
    ),
    "/v1/detokenize": Body(detokenizing.DetokenizeBody, detokenizing.DETOKENIZE_FIELDS, _DETOKENIZE),
    "/api/embed": Body(embed.EmbedBody, embed.EMBED_FIELDS),
    "/api/embeddings": Body(embed.EmbeddingsBody, embed.EMBEDDINGS_FIELDS),
    "/api/chat": Body(ollama.ChatBody, ollama.CHAT_FIELDS, inner=_OLLAMA_MESSAGES),
    "/api/generate": Body(ollama.GenerateBody, ollama.GENERATE_FIELDS),
    "/api/show": Body(ollama.Named, ollama.SHOW_FIELDS),
    "/api/pull": Body(ollama.Named, ollama.PULL_FIELDS),
    "/api/delete": Body(ollama.Named, ollama.DELETE_FIELDS),
    "/api/copy": Body(ollama.Copy),
    "/api/create": Body(ollama_create.Create, ollama_create.CREATE_FIELDS),
}
WITHOUT_JSON = (
    "/api/blobs/<digest:str>",
    "/v1/responses/<response_id:str>",
    "/v1/responses/<response_id:str>/cancel",
)
"""Endpoints that take a body which is not JSON, or none."""

PLANNED: Mapping[str, tuple[str, ...]] = {
    "Ours": ("/openapi.json", "/docs"),
}
NEVER = ("/api/push",)
"""Endpoints of the same APIs that are not planned."""


_CLIENTS = (
    (
        "[`anthropic`](https://pypi.org/project/anthropic/)",
        "2.14.0",
        "in every test run: messages whole, streamed and asynchronous, its stream helper and its tool runner, "
        "thinking, tools (forced ones too), pictures, structured output, `count_tokens`, models, errors",
    ),
    (
        "[Claude Code](https://www.npmjs.com/package/@anthropic-ai/claude-code)",
        "2.1.332",
        "by hand, on Linux, against a model that says a script: `-p` with a call of Bash and its result, with and "
        "without its search of tools, experimental betas, thinking and its attribution header, under an unknown name "
        "and as `claude-sonnet-4-5`; `/context`; its list of models; a prompt that is too long. What it "
        "sent on other occasions is replayed in tests",
    ),
)
"""Clients of other makers: name, version, what of it was run."""


_ABOUT_ACCESS = """
The last column holds once an API key is configured. Before that, other machines are refused; with `server.protected`
off they may do without a key what it allows with one, except read `/metrics`.

Errors have the shape of their API: `{"error": {"message", "type", "param", "code"}}` under `/v1`,
`{"type": "error", "error": {"type", "message"}, "request_id"}` under `/v1/messages`, and under `/v1/models` for clients
that send `anthropic-version`, `{"error": "..."}` under `/api`. The status is 400 for a wrong request, 404 for an
unknown model, 503 with `Retry-After` when the queue is full.
"""
_ORDER = ("partly", "ignored", "refused")
_WIDE = 2**31 - 1


def compatibility(committed: str) -> str:
    """The whole document; nothing of the committed one is kept."""
    return "".join([_HEAD, *_endpoints(), *_bodies(), *_options(), *_clients(), *_missing()])


def _endpoints() -> Iterator[str]:
    yield "\n## Endpoints\n\n| endpoint | methods | from other machines |\n| --- | --- | --- |\n"
    for path, methods, _ in ROUTES:
        yield f"| `{_shown(path)}` | {', '.join(methods)} | {_access(path)} |\n"
    yield _ABOUT_ACCESS


def _shown(path: str) -> str:
    return (
        path.replace("<model_id:path>", "{id}").replace("<digest:str>", "{digest}").replace("<response_id:str>", "{id}")
    )


def _access(path: str) -> str:
    if path in OPEN:
        return "yes"
    managing = any(path == prefix or path.startswith(prefix + "/") for prefix in MANAGEMENT)
    return "with a key, and `server.remote_management`" if managing else "with a key"


def _bodies() -> Iterator[str]:
    for path, methods, _ in ROUTES:
        if path in BODIES:
            yield f"\n## {next(method for method in methods if method != 'HEAD')} {path}\n{BODIES[path].about}"
            yield from _fields(BODIES[path])


def _fields(body: Body, prefix: str = "") -> Iterator[str]:
    served = [name for name in _names(body.struct) if name not in body.fields]
    yield f"\nServed: {', '.join(f'`{prefix}{name}`' for name in served)}.\n"
    if body.fields:
        yield "\n| field | | note |\n| --- | --- | --- |\n"
        for name, entry in sorted(body.fields.items(), key=lambda each: _ORDER.index(each[1].treatment)):
            yield f"| `{prefix}{name}` | {entry.treatment} | {entry.note} |\n"
    for holder, inner in body.inner.items():
        yield from _fields(inner, f"{prefix}{holder}.")


def _names(struct: type[msgspec.Struct]) -> list[str]:
    return [each.encode_name for each in msgspec.structs.fields(struct)]


def _options() -> Iterator[str]:
    yield "\n## Ollama's options\n\n`options` of `/api/chat` and `/api/generate`, `parameters` of `/api/create`.\n\n"
    yield "| option | | type | range |\n| --- | --- | --- | --- |\n"
    for name, kind in sorted(model_options.TYPES.items(), key=lambda each: each[0] in model_options.UNUSED):
        treatment = "ignored" if name in model_options.UNUSED else "served"
        yield f"| `{name}` | {treatment} | {kind} | {_range(*model_options.RANGES.get(name, (-_WIDE, _WIDE)))} |\n"


def _range(least: float, most: float) -> str:
    if most < _WIDE:
        return f"{least:g} to {most:g}"
    return f"{least:g} or more" if least > -_WIDE else ""


def _clients() -> Iterator[str]:
    yield "\n## Clients that were run\n\n| client | version | what was run |\n| --- | --- | --- |\n"
    for name, version, what in _CLIENTS:
        yield f"| {name} | {version} | {what} |\n"


def _missing() -> Iterator[str]:
    yield "\n## Not there yet\n\nThese endpoints answer 404.\n\n| API | endpoints |\n| --- | --- |\n"
    for api, paths in PLANNED.items():
        yield f"| {api} | {', '.join(f'`{path}`' for path in paths)} |\n"
    yield f"\nNot planned: {', '.join(f'`{path}`' for path in NEVER)}.\n"
