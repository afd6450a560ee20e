"""run: one reply, or a chat; of an embedding model the vector of a text."""

from __future__ import annotations

import sys

from ..chat_stream import ChatReply, stream_reply, timings
from ..client import ApiError
from ..display.terminal import is_terminal, note
from ..picture_file import PictureError, encoded
from ..session import CommandFailed, Session, path_of
from .pull import fetch, pull_body

_SHOWN = 4
_LONGEST_EXAMPLE = 200
_KINDS = {"llm": "a language model", "embedding": "an embedding model", "reranker": "a reranker"}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..client import Client


def run(session: Session) -> int:
    options = session.options
    images = [_image(path) for path in options.image]
    answer_format = _format(options.format)
    prompt = _prompt(options.prompt)
    if prompt is None and (session.json or not is_terminal(sys.stdin)):
        raise CommandFailed("there is no prompt", 'give one: mlx-serve run NAME "…"')
    client = session.daemon()
    model, kind = _installed(client, options.name)
    if images and kind != "vlm":
        raise CommandFailed(
            f"{options.name} cannot see pictures: it is {_KINDS.get(kind, 'another kind of model')}",
            "use a vision-language model, such as starter-vl",
        )
    if kind == "reranker":
        raise CommandFailed(
            f"{options.name} is a reranker: it says how well documents answer a query, and writes nothing",
            f"send it both:\n{_rerank_example(client, model, prompt)}",
        )
    if kind == "embedding":
        return _embed(session, client, model, prompt)
    body: dict[str, Any] = {"model": model}
    if options.think is not None:
        body["think"] = options.think
    if answer_format is not None:
        body["format"] = answer_format
    if prompt is None:
        from ..chat import Chat

        chat = Chat(client, body, home=session.target.home, system=options.system, images=images, sees=kind == "vlm")
        return chat.run(options.verbose)
    body["messages"] = _messages(options.system, prompt, images)
    if session.json:
        for document in client.stream("POST", "/api/chat", {**body, "stream": True}):
            session.print_json(document)
        return 0
    reply = ChatReply()
    stream_reply(client, body, reply, show_thinking=options.think is True or is_terminal(sys.stdout))
    if options.verbose:
        note(f"\n{timings(reply.last)}")
    return 0


def _rerank_example(client: Client, model: str, prompt: str | None) -> str:
    """A command for the shell, with what was to be run as its query."""
    import json
    import shlex

    query = prompt if prompt is not None and len(prompt) < _LONGEST_EXAMPLE else "How do I stop the daemon?"
    body = {"model": model, "query": query, "documents": ["mlx-serve stop ends it.", "It is red."]}
    url = client.get("/control/v1/status")["url"]
    data = shlex.quote(json.dumps(body, ensure_ascii=False))
    return f"curl {url}/v1/rerank -H 'Content-Type: application/json' -d {data}"


def _embed(session: Session, client: Client, model: str, prompt: str | None) -> int:
    if prompt is None:
        raise CommandFailed(
            f"{session.options.name} is an embedding model: it turns a text into a vector, and does not chat",
            'give it a text: mlx-serve run NAME "…"; programs use POST /v1/embeddings',
        )
    document = client.post("/api/embed", {"model": model, "input": prompt})
    if session.json:
        session.print_json(document)
        return 0
    (vector,) = document["embeddings"]
    print(_shortened(vector))
    if session.options.verbose:
        note(timings(document))
    return 0


def _shortened(vector: list[float]) -> str:
    """Its ends, and how many numbers there are; `--json` has them all."""
    shown = [f"{number:.4f}" for number in vector]
    if len(shown) > 2 * _SHOWN:
        shown = [*shown[:_SHOWN], "…", *shown[-_SHOWN:]]
    return f"[{', '.join(shown)}] ({len(vector)} numbers)"


def _messages(system: str | None, prompt: str, images: list[str]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [] if system is None else [{"role": "system", "content": system}]
    messages.append({"role": "user", "content": prompt, **({"images": images} if images else {})})
    return messages


def _prompt(words: list[str]) -> str | None:
    """The argument, followed by piped input; None when there is neither."""
    parts = [" ".join(words)]
    if sys.stdin is not None and not sys.stdin.isatty():
        parts.append(sys.stdin.read().strip())
    return "\n\n".join(part for part in parts if part) or None


def _image(path: str) -> str:
    try:
        return encoded(path)
    except PictureError as error:
        raise CommandFailed(str(error)) from error


def _format(given: str | None) -> Any:
    """`json`, or the schema in a file."""
    if given is None or given == "json":
        return given
    import json

    with open(given, "rb") as file:
        try:
            schema = json.load(file)
        except ValueError as error:
            raise CommandFailed(
                f"{given} is not valid JSON: {error}", "--format takes json, or a file with a JSON schema"
            ) from error
    if not isinstance(schema, dict):
        raise CommandFailed(f"{given} is not a JSON schema", "a schema is a JSON object")
    return schema


def _installed(client: Client, name: str) -> tuple[str, str]:
    """The model's full name and its kind; pulls a model that is not installed where that is possible."""
    try:
        found = client.get(path_of(name))
    except ApiError as error:
        if error.status != 404:
            raise
        if not error.pullable:
            raise ApiError(404, error.message, error.hint or "pull it first: mlx-serve pull SOURCE") from error
        note(f"{name} is not installed; pulling it")
        found = client.get(path_of(str(fetch(client, pull_body(name))["name"])))
    return str(found["model"]["name"]), str(found["model"]["kind"])
