"""POST /api/create: a model of another one's files with settings of its own, or of uploaded files."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sanic import Request
from sanic.response import HTTPResponse

from ...daemon import store_threads
from ...daemon.tasks.pulls import PullOrder, downloadable
from ...daemon.tasks.quantizing import QuantizeOrder, check
from ...store.disk.manifests import Overrides, Quantization
from ...store.errors import DamagedModel, InvalidName, UnknownModel
from ...store.names import Name
from ...store.progress import Progress
from .. import ranges
from ..decode import Fields, ignored, partly, refuse, refused
from ..endpoint import decoded, document, serving
from ..failure import RequestError
from ..jsontext import encode
from ..model_options import known
from .bodies import Message, Named
from .chat import template_messages
from .generation import invalid, unknown
from .given_template import MAX_TEMPLATE, check_template
from .pull import lines, send
from .uploads import digest_of

if TYPE_CHECKING:
    from ...store.store import Installed, Store

MAX_TEXT = 4 << 20
MAX_FILES = 10_000


class Create(Named, kw_only=True):
    """The request; `from` or `files` says of which files the model is made."""

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
    requires: str | None = None
    info: dict[str, Any] | None = None


CREATE_FIELDS: Fields = {
    "files": partly("safetensors, configurations, tokenizer files and templates; no GGUF"),
    "template": partly("in Jinja; Go templates are refused"),
    "adapters": refused("adapters are not served"),
    "draft_files": refused("draft models are not served"),
    "draft_quantize": refused("draft models are not served"),
    "renderer": refused("the model's chat template is used"),
    "parser": refused("the form of tool calls is detected"),
    "remote_host": refused("models are served by this machine only"),
    "info": refused("what a model is is read from its files"),
    "requires": ignored("it is a version of Ollama"),
    "verbose": ignored("it has no meaning here"),
}
_PRECISIONS = re.compile(r"(?:q|int)?([2-68])(?:_[01]|_k(?:_[sml])?)?|(mxfp4|nvfp4|mxfp8)")
_decoder = msgspec.json.Decoder(Create | None)


async def create(request: Request) -> HTTPResponse | None:
    body = await decoded(request, _decoder) or Create()
    order = await asyncio.to_thread(_order, body)
    async with aclosing(_steps(request, order)) as steps:
        if body.stream is not False:
            await send(request, steps, b'{"status":"creating model"}\n')
            return None
        async for _ in steps:
            pass
    return document({"status": "success"})


@dataclass(frozen=True)
class CreateOrder:
    """A checked request: `origin` is another model's name, or "" for `files`."""

    target: str
    origin: str
    files: Mapping[str, str]
    overrides: Overrides
    precision: Quantization | None


def _order(body: Create) -> CreateOrder:
    """Check all of the request before anything is done. Raises RequestError."""
    target = _target(body)
    refuse(body, CREATE_FIELDS)
    precision = _precision(body.quantize or body.quantization)
    if precision is not None and body.files:
        raise RequestError(
            "'quantize' is not supported together with 'files'; create the model, then quantize it from its name",
            param="quantize",
            code="unsupported_parameter",
        )
    return CreateOrder(target, body.origin or "", body.files or {}, _overrides(body), precision)


def _precision(name: str | None) -> Quantization | None:
    """Ollama's names of GGUF types mean the same number of bits here."""
    if not name:
        return None
    if (found := _PRECISIONS.fullmatch(name.lower())) is None:
        raise RequestError(
            f"unsupported quantization type {name[:40]}: use q2_K to q8_0, int4, int8, mxfp4, nvfp4 or mxfp8",
            param="quantize",
            code="invalid_value",
        )
    bits, mode = found.groups()
    return check(int(bits) if bits else None, None, mode or "affine")


async def _steps(request: Request, order: CreateOrder) -> AsyncGenerator[bytes]:
    """Make the model; yields the lines of progress."""
    context = serving(request)
    store, pulls = context.store, context.pulls
    if order.files:
        made = await store_threads.work(_of_files, store, order)
    else:
        try:
            origin = await store_threads.look(store.find, order.origin)
        except InvalidName:
            raise invalid() from None
        except UnknownModel:
            source = downloadable(order.origin, context.settings.models.aliases)
            if source is None:
                raise unknown(order.origin) from None
            async with aclosing(lines(pulls.follow(PullOrder(source)))) as pulling:
                async for line in pulling:
                    yield line
            origin = await store_threads.look(store.find, order.origin)
        name = str(origin.name)
        if order.precision is not None:
            wanted = order.precision
            quantizing = QuantizeOrder(name, wanted.bits, wanted.group_size, wanted.mode, order.target)
            async with aclosing(pulls.follow(quantizing)) as events:
                async for event in events:
                    if isinstance(event, Progress):
                        yield _quantizing(event, wanted)
            name = order.target
        made = await store_threads.work(_variant, store, name, order)
    for layer in made.manifest.layers:
        yield encode({"status": f"using existing layer {layer.digest}"}) + b"\n"
    yield b'{"status":"writing manifest"}\n'


def _quantizing(event: Progress, precision: Quantization) -> bytes:
    document: dict[str, Any] = {"status": f"quantizing model to {precision.bits} bits ({precision.mode})"}
    if event.total:
        document |= {"total": event.total, "completed": event.completed}
    return encode(document) + b"\n"


def _of_files(store: Store, order: CreateOrder) -> Installed:
    try:
        return store.create_from_files(order.files, order.target, order.overrides)
    except DamagedModel as error:  # the client's files, not ours
        raise RequestError(str(error), param="files", code="invalid_value") from error


def _variant(store: Store, name: str, order: CreateOrder) -> Installed:
    if order.overrides != Overrides():
        return store.create(name, order.target, order.overrides)
    return store.find(name) if name == order.target else store.copy(name, order.target)


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


def _overrides(body: Create) -> Overrides:
    """Raises RequestError."""
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
