"""POST /api/create: a model of another one's files with settings laid over it, or of uploaded files."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import msgspec
from sanic import Request
from sanic.response import HTTPResponse

from ..store.errors import DamagedModel, InvalidName
from ..store.manifests import Overrides
from ..store.names import Name
from . import ranges
from .endpoint import decoded, document, serving
from .errors import note
from .failure import RequestError, describe
from .jsontext import encode
from .ollama_answers import record
from .ollama_blobs import digest_of
from .ollama_chat import template_messages
from .ollama_options import known
from .ollama_run import find, invalid
from .stream import NDJSON, Stream
from .wire_ollama import Message, Named

if TYPE_CHECKING:
    from ..store.store import Installed

MAX_TEMPLATE = 1 << 20
MAX_TEXT = 4 << 20
MAX_FILES = 10_000
_GO = re.compile(r"\{\{-?\s*(?:\.|range\b|if\s+[.(]|if\s+(?:and|or|eq|not)\s|end\b|template\b|define\b|\$)")


class Create(Named, kw_only=True):
    """What is wanted; `from` or `files` says of which files."""

    origin: ranges.ModelName | None = msgspec.field(default=None, name="from")
    files: dict[str, str] | None = None
    template: str | None = None
    license: str | list[str] | None = None
    system: str | None = None
    parameters: dict[str, Any] | None = None
    messages: list[Message] | None = None
    adapters: dict[str, str] | None = None
    draft_files: dict[str, str] | None = None
    quantize: str | None = None
    quantization: str | None = None
    draft_quantize: str | None = None
    renderer: str | None = None
    parser: str | None = None
    remote_host: str | None = None


_REFUSED = ("adapters", "draft_files", "draft_quantize", "renderer", "parser", "remote_host")
_decoder = msgspec.json.Decoder(Create | None)


async def create(request: Request) -> HTTPResponse | None:
    body = await decoded(request, _decoder) or Create()
    target = _target(body)
    for field in _REFUSED:
        if getattr(body, field):
            raise RequestError(f"'{field}' is not supported", param=field, code="unsupported_parameter")
    overrides = await asyncio.to_thread(_overrides, body)
    if body.stream is False:
        await _make(request, body, target, overrides)
        return document({"status": "success"})
    out = await Stream.open(request, NDJSON)
    try:
        made = await _make(request, body, target, overrides)
        for layer in made.manifest.layers:
            await out.send(encode({"status": f"using existing layer {layer.digest}"}) + b"\n")
        await out.send(b'{"status":"writing manifest"}\n')
        await out.end(b'{"status":"success"}\n')
    except Exception as error:
        note(error)
        await out.fail(record(describe(error)))
    return None


def _target(body: Create) -> str:
    if not body.text:
        raise RequestError("model is required", param="model", code="missing_field")
    try:
        Name.parse(body.text)
    except InvalidName:
        raise invalid() from None
    if not body.origin and not body.files:
        raise RequestError("neither 'from' or 'files' was specified", param="from", code="missing_field")
    if body.origin and body.files:
        raise RequestError("'from' and 'files' cannot be given together", param="files", code="invalid_value")
    if body.files and len(body.files) > MAX_FILES:
        raise RequestError(f"'files' names more than {MAX_FILES} files", param="files", code="invalid_value")
    for digest in (body.files or {}).values():
        digest_of(digest)
    return body.text


async def _make(request: Request, body: Create, target: str, overrides: Overrides) -> Installed:
    store = serving(request).store
    if body.files:
        try:
            return await asyncio.to_thread(store.create_from_files, body.files, target, overrides)
        except DamagedModel as error:  # the client's files, not ours
            raise RequestError(str(error), param="files", code="invalid_value") from error
    origin = await find(request, body.origin or "")
    if overrides == Overrides():
        return await asyncio.to_thread(store.copy, str(origin.name), target)
    return await asyncio.to_thread(store.create, str(origin.name), target, overrides)


def _overrides(body: Create) -> Overrides:
    """Everything that can be wrong with the settings is said now and not at the first chat. Raises RequestError."""
    for field, text in (("system", body.system), ("template", body.template)):
        if text is not None and len(text) > (MAX_TEMPLATE if field == "template" else MAX_TEXT):
            raise RequestError(f"'{field}' is too long", param=field, code="invalid_value")
    if body.template:
        check_template(body.template)
    license = [body.license] if isinstance(body.license, str) else body.license or []
    if sum(map(len, license)) > MAX_TEXT:
        raise RequestError("'license' is too long", param="license", code="invalid_value")
    return Overrides(
        system=body.system,
        template=body.template or None,
        parameters=known(body.parameters),
        messages=template_messages(body.messages or []),
        license=tuple(license),
    )


def check_template(text: str) -> None:
    """Raises RequestError when a text is no template that a model's chat could be written with."""
    import jinja2  # slow to import, and few daemons ever create a model
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if _GO.search(text):
        raise _bad_template("templates are written in Jinja here, as in chat_template.jinja, not in Go's language")
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    try:
        # Transformers knows one tag more, which only marks a part.
        environment.parse(re.sub(r"\{%-?\s*(?:end)?generation\s*-?%\}", "", text))
    except jinja2.TemplateSyntaxError as error:
        raise _bad_template(f"line {error.lineno}: {error.message}") from None
    except RecursionError:
        raise _bad_template("it is nested too deeply") from None
    if not re.search(r"\bmessages\b", text):
        raise _bad_template("it never mentions messages, so nothing that is said would reach the model")


def _bad_template(why: str) -> RequestError:
    return RequestError(f"template error: {why}", param="template", code="invalid_value")
