"""What is used of Sanic without its promise, in one table: an upgrade that takes some away fails here with a list.

The other way round too: what Sanic uses of a request's `stream`, which is our Exchange.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sanic
import sanic.app
import sanic.request.types
import sanic.response.types
from sanic.handlers import ErrorHandler
from sanic.models.server_types import ConnInfo
from sanic.request import Request
from sanic.response import HTTPResponse
from support.raw_http import wire

from mlx_serve.daemon.http.app import App, JsonErrors
from mlx_serve.daemon.http.exchange import Exchange
from mlx_serve.daemon.http.head import RefusedRequest
from mlx_serve.daemon.http.request import ApiRequest
from mlx_serve.handlers.error_bodies import Renderer

ROOT = Path(__file__).parents[3]
FOLDERS = ("daemon/http", "handlers", "control/server")
OURS = (App, ApiRequest, JsonErrors, Renderer, RefusedRequest)

# Private, or in no documentation, or overridden or called where only Sanic itself is meant to.
NAMES: dict[str, tuple[str, ...]] = {
    "app": (
        *("_app_registry", "_startup", "_run_request_middleware"),
        *("dispatch", "handle_request", "handle_exception"),
        *("error_handler", "request_class", "request_middleware"),
    ),
    "route": ("extra.request_middleware",),
    "request": (
        *("conn_info", "stream", "body", "head", "id", "responded", "reset_response"),
        *("receive_body", "respond", "route", "transport", "version"),
    ),
    "response": ("stream", "body", "status", "headers", "content_type", "processed_headers", "send"),
    "conn_info": ("lost", "client_ip", "sockname"),
    "error_handler": ("_lookup", "cached_handlers", "response"),
    "config": ("TOUCHUP", "AUTO_EXTEND"),
    "sanic.compat": ("Header",),
    "sanic.headers": ("format_http1_response",),
    "sanic.helpers": ("has_message_body",),
    "sanic.http": ("Stage.IDLE", "Stage.REQUEST", "Stage.HANDLER", "Stage.RESPONSE"),
    "sanic.models.server_types": ("ConnInfo",),
    "sanic.exceptions": ("RequestCancelled", "BadURL"),
}
PRIVATE = {name for names in NAMES.values() for name in names if name.startswith("_")}
REQUEST_ARGUMENTS = {"url_bytes", "headers", "version", "method", "transport", "app", "head"}


async def owners() -> dict[str, Any]:
    """An object of Sanic's for each row that is no module."""
    async with wire() as server:
        app = server.app
        ours, theirs = socket.socketpair()
        _, writer = await asyncio.open_connection(sock=ours)
        request: Any = Request(b"/", sanic.compat.Header({}), "1.1", "GET", writer.transport, app)  # type: ignore[arg-type]
        found = {
            "app": app,
            "route": app.router.routes[0],
            "request": request,
            "response": HTTPResponse(),
            "conn_info": ConnInfo(writer.transport),  # type: ignore[arg-type]
            "error_handler": ErrorHandler(),
            "config": app.config,
        }
        writer.close()
        theirs.close()
        return found


async def test_sanic_has_every_name_that_is_used() -> None:
    found, missing = await owners(), []
    for owner, names in NAMES.items():
        for name in names:
            value = found[owner] if owner in found else importlib.import_module(owner)
            for part in name.split("."):
                if not hasattr(value, part):
                    missing.append(f"{owner}.{name}")
                    break
                value = getattr(value, part)
    assert not missing, f"Sanic {sanic.__version__} lacks: {', '.join(missing)}"


def test_a_request_is_made_with_the_same_arguments() -> None:
    missing = REQUEST_ARGUMENTS - set(inspect.signature(Request.__init__).parameters)
    assert not missing, f"Sanic {sanic.__version__} takes no {', '.join(sorted(missing))} for a request"


def test_an_exchange_offers_what_sanic_uses_of_a_stream() -> None:
    used: set[str] = set()
    for module in (sanic.app, sanic.request.types, sanic.response.types):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("request.stream", "self.stream"):
                used.add(node.attr)
    assert {"stage", "respond", "send", "response", "request_body"} <= used, "the scan finds nothing any more"
    missing = {name for name in used if not hasattr(Exchange, name)}
    assert not missing, f"Sanic {sanic.__version__} uses of a stream: {', '.join(sorted(missing))}"


def sources() -> Iterator[tuple[str, ast.Module]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def private_names_used(tree: ast.Module) -> Iterator[str]:
    """As attributes, in getattr and its like, and in imports from Sanic."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("attr"):
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield from filter(is_private, [argument.value])
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sanic":
            yield from (alias.name for alias in node.names if is_private(alias.name))


def private_names_defined(tree: ast.Module) -> Iterator[str]:
    """Of classes and modules: methods, functions, fields, and what is assigned to `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from filter(is_private, [node.name])
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for part in ast.walk(target):
                    if isinstance(part, ast.Name) and is_private(part.id):
                        yield part.id
                    elif isinstance(part, ast.Attribute) and ast.unparse(part.value) == "self":
                        yield from filter(is_private, [part.attr])


def test_no_private_name_is_used_that_is_not_in_the_table() -> None:
    """A private name that the same file defines is its own; every other one has to be in the table."""
    strange = [
        f"{path}: {name}"
        for path, tree in sources()
        for name in sorted(set(private_names_used(tree)) - set(private_names_defined(tree)) - PRIVATE)
    ]
    assert not strange


def test_every_private_name_in_the_table_is_used() -> None:
    used = {name for _, tree in sources() for name in private_names_used(tree)}
    assert used >= PRIVATE


@pytest.mark.parametrize("kind", OURS)
def test_no_private_name_of_sanic_is_overridden_by_chance(kind: type) -> None:
    theirs = {name for base in kind.__mro__ if base.__module__.startswith("sanic") for name in dir(base)}
    assert {name for name in vars(kind) if is_private(name) and name in theirs} <= PRIVATE


def test_every_class_that_stands_on_one_of_sanics_is_looked_at() -> None:
    """And the protocol and the stream stand on none."""
    names = {kind.__name__ for kind in OURS}
    for path, tree in sources():
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sanic"
            for alias in node.names
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases = {ast.unparse(base).split("[")[0].split(".")[0] for base in node.bases}
                assert not bases & imported or node.name in names, f"{path}: {node.name}"


def test_the_scan_finds_what_it_should() -> None:
    """The test of the tests."""
    code = "from sanic.app import _x\nself._mine = 1\nrequest._id\ngetattr(app, '_secret')\nself._mine\n__version__\n"
    tree = ast.parse(code)
    assert set(private_names_used(tree)) - set(private_names_defined(tree)) == {"_x", "_id", "_secret"}
