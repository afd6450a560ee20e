"""The control API for the `mlx-serve` command, on the Unix socket only.

Responses are one JSON document, streams one per line; errors are `{"error": {"message", "hint"?}}`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
from sanic import Blueprint, Sanic
from sanic.exceptions import NotFound
from sanic.request import Request
from sanic.response import HTTPResponse

from ...daemon import store_threads
from ...daemon.context import Context
from ...daemon.errors import UnknownRequest
from ...daemon.reload.model_defaults import ineffective
from ...daemon.residency.remove import remove
from ...daemon.settings.command import described
from ...store.errors import StoreError
from ...store.names import Name
from ..socket import log_path, peer_uid
from . import documents, request_bodies, response_bodies
from .error_responses import render
from .line_stream import send_lines
from .log_lines import lines as log_lines
from .model_settings import setting_rows
from .prompt_files import sweep_prompts
from .pull_lines import pull_lines, pull_order, quantize_order
from .verify_lines import verify_lines

PREFIX = "/control/v1"
_SHUTDOWN_DELAY_SECONDS = 0.02


def register(app: Sanic[Any, Any]) -> None:
    """Add the control routes and the check of the caller to the socket's app.

    The app's `ctx.serving` is the Context; `ctx.shutdown(force)` starts the shutdown.
    """
    control = Blueprint("control", url_prefix=PREFIX)
    for methods, path, handler in _ROUTES:
        control.add_route(handler, path, methods=methods.split(), name=handler.__name__)
    # The public dialects have other error bodies.
    control.exception(Exception)(render)
    app.blueprint(control)
    app.register_middleware(check_peer, "request", priority=100)


def check_peer(request: Request) -> HTTPResponse | None:
    """Refuses other users, in case the socket's mode was changed."""
    uid = _caller(request)
    if uid is None or uid in (os.getuid(), 0):
        return None
    text = response_bodies.ErrorDetail(
        message="this daemon belongs to another user", hint="start your own with: mlx-serve start"
    )
    return _json(response_bodies.ErrorResponse(error=text), status=403)


def _caller(request: Request) -> int | None:
    """The uid of the caller; None where the system cannot tell, -1 for a closed connection."""
    transport = request.transport
    held = transport.get_extra_info("socket") if transport is not None else None
    if held is None:
        return -1
    try:
        with socket.socket(fileno=os.dup(held.fileno())) as connection:
            return peer_uid(connection)
    except OSError:
        return -1


def _context(request: Request) -> Context:
    context: Context = request.app.ctx.serving
    return context


def _json(answer: object, status: int = 200) -> HTTPResponse:
    return HTTPResponse(msgspec.json.encode(answer), status=status, content_type="application/json")


def _name(name: str) -> str:
    """Route parameters arrive percent-encoded; the store validates the decoded name."""
    return unquote(name)


async def _spellings(request: Request) -> dict[Name, str]:
    """How listings call each installed model."""
    return await store_threads.look(_context(request).store.spellings)


async def get_status(request: Request) -> HTTPResponse:
    context = _context(request)
    sizes = await asyncio.to_thread(documents.memory)
    await context.residency.measure()
    installed = await store_threads.look(context.store.models)
    return _json(documents.status(context, sizes, await _spellings(request), len(installed)))


async def get_models(request: Request) -> HTTPResponse:
    installed = await store_threads.look(_context(request).store.models)
    spellings = await _spellings(request)
    return _json(
        response_bodies.InstalledModels(models=tuple(documents.model_row(model, spellings) for model in installed))
    )


async def get_model(request: Request, name: str) -> HTTPResponse:
    context = _context(request)
    found = await store_threads.look(context.store.find, _name(name))
    rows = await store_threads.work(setting_rows, context.settings, context.store, found)
    return _json(documents.model_detail(found, await _spellings(request), context.residency.resident(), rows))


async def delete_model(request: Request, name: str) -> HTTPResponse:
    """Returns when the model's requests are done and its memory is free, unless it has another name."""
    context = _context(request)
    spellings = await _spellings(request)
    removed = await remove(context.store, context.residency, _name(name))
    shown = spellings.get(removed.name) or removed.name.display()
    return _json(response_bodies.ModelRef(name=shown, id=removed.digest))


async def pull(request: Request) -> None:
    body = request_bodies.parse(request, request_bodies.PullBody)
    await send_lines(request, pull_lines(_context(request), pull_order(body)))


async def quantize(request: Request) -> None:
    body = request_bodies.parse(request, request_bodies.QuantizeBody)
    await send_lines(request, pull_lines(_context(request), quantize_order(body)))


async def copy(request: Request) -> HTTPResponse:
    body = request_bodies.parse(request, request_bodies.CopyBody)
    made = await store_threads.work(_context(request).store.copy, body.source, body.destination)
    return _json(
        response_bodies.ModelRef(name=(await _spellings(request)).get(made.name) or made.name.display(), id=made.digest)
    )


async def load(request: Request) -> HTTPResponse:
    body = request_bodies.parse(request, request_bodies.LoadBody)
    residency = _context(request).residency
    resident = await residency.load(await residency.find(body.name), keep_alive=body.keep_alive)
    return _json(documents.loaded_row(resident, await _spellings(request)))


async def unload(request: Request) -> HTTPResponse:
    context = _context(request)
    found = await store_threads.look(context.store.find, request_bodies.parse(request, request_bodies.NameBody).name)
    was_loaded = await context.residency.unload(found)
    shown = (await _spellings(request)).get(found.name) or found.name.display()
    return _json(response_bodies.UnloadResult(name=shown, unloaded=was_loaded))


async def ps(request: Request) -> HTTPResponse:
    context = _context(request)
    await context.residency.measure()
    return _json(documents.loaded_models(context, await _spellings(request)))


async def get_requests(request: Request) -> HTTPResponse:
    return _json(documents.open_requests(_context(request)))


async def cancel_request(request: Request, number: str) -> HTTPResponse:
    """Each client with this id is told that the operator has cancelled its request. Raises UnknownRequest."""
    number = unquote(number)
    cancelled = _context(request).requests.cancel(number)
    if not cancelled:
        raise UnknownRequest(number)
    return _json(response_bodies.CancelResult(id=number, cancelled=cancelled))


async def verify(request: Request) -> None:
    body = request_bodies.parse(request, request_bodies.VerifyBody)
    await send_lines(request, verify_lines(_context(request).store, body.name))


async def gc(request: Request) -> HTTPResponse:
    body = request_bodies.parse(request, request_bodies.GcBody)
    context = _context(request)
    done = await store_threads.work(context.store.gc, body.dry_run, context.residency.in_use)
    prompts = await store_threads.work(sweep_prompts, context, dry_run=body.dry_run)
    return _json(
        response_bodies.GcResult(
            blobs=done.blobs,
            bytes=done.bytes,
            partials=done.partials,
            prompts=prompts.files,
            prompt_bytes=prompts.nbytes,
            dry_run=body.dry_run,
        )
    )


async def config(request: Request) -> HTTPResponse:
    """The effective settings as `mlx-serve config --json` prints them; API keys are masked. `ineffective` as in
    Reloaded."""
    context = _context(request)
    try:
        found = await store_threads.look(ineffective, context.store, context.settings.models.settings)
    except StoreError:  # which keeps nobody from reading the settings
        found = {}
    return _json(described(context.settings) | {"ineffective": found})


async def key(request: Request) -> HTTPResponse:
    """A key that the public address takes, for programs that the command starts; null where none is set. This user's
    settings have it anyway, and the socket is this user's alone."""
    keys = _context(request).settings.server.api_keys
    return _json(response_bodies.Key(key=keys[0] if keys else None))


async def reload(request: Request) -> HTTPResponse:
    """Read the settings again. Raises ConfigError, and then everything stays as it was."""
    done = await request.app.ctx.reload()
    file, spellings = done.renewal.settings.file, await _spellings(request)
    return _json(
        response_bodies.Reloaded(
            changed=done.renewal.changed,
            restart=done.renewal.restart,
            load=tuple(spellings.get(model.name) or model.name.display() for model in done.outdated),
            ineffective=dict(done.ineffective),
            file=str(file) if file else None,
        )
    )


async def logs(request: Request) -> None:
    context = _context(request)
    count = request.args.get("n", "100")
    if not (count.isascii() and count.isdigit() and len(count) < 9):
        raise request_bodies.InvalidBody("n must be the number of lines, a whole number")
    path: Path = log_path(context.settings.home, context.settings.server.port)
    if not await asyncio.to_thread(path.exists):
        raise NotFound("this daemon has no log file: it writes to the terminal it was started in")
    follow = request.args.get("follow", "0") in ("1", "true")
    await send_lines(request, log_lines(path, int(count), follow, lambda: context.draining))


async def shutdown(request: Request) -> HTTPResponse:
    body = request_bodies.parse(request, request_bodies.ShutdownBody)
    # Delayed, so that this response is sent before the listeners close.
    asyncio.get_running_loop().call_later(_SHUTDOWN_DELAY_SECONDS, request.app.ctx.shutdown, body.force)
    return _json(response_bodies.ShutdownResult(status="stopping", pid=os.getpid()))


async def unknown(request: Request, path: str) -> HTTPResponse:
    raise NotFound(f"the control API has no {PREFIX}/{unquote(path)}")


_ROUTES: tuple[tuple[str, str, Callable[..., Coroutine[Any, Any, HTTPResponse | None]]], ...] = (
    ("GET", "/status", get_status),
    ("GET", "/models", get_models),
    ("GET", "/models/<name:path>", get_model),
    ("DELETE", "/models/<name:path>", delete_model),
    ("POST", "/pull", pull),
    ("POST", "/quantize", quantize),
    ("POST", "/copy", copy),
    ("POST", "/load", load),
    ("POST", "/unload", unload),
    ("GET", "/ps", ps),
    ("GET", "/requests", get_requests),
    ("DELETE", "/requests/<number:path>", cancel_request),
    ("POST", "/verify", verify),
    ("POST", "/gc", gc),
    ("GET", "/config", config),
    ("POST", "/config", reload),
    ("GET", "/key", key),
    ("GET", "/logs", logs),
    ("POST", "/shutdown", shutdown),
    ("GET POST PUT DELETE", "/<path:path>", unknown),
)
