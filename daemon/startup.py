"""What a daemon acquires before it serves: folders, the lock of its port, sockets and its log, in that order."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from dataclasses import dataclass
from typing import cast

from ..control.socket import SocketError, SocketInUse, bind, log_path, remove, socket_path
from .http.listen import listen_tcp
from .logs import sink as logs
from .logs.line import LineStyle
from .logs.sink import Logs
from .port_lock import AlreadyRunning, PortLock
from .settings.schema import Settings


class StartError(Exception):
    """The daemon cannot start; `str()` is a sentence for the user."""


@dataclass(frozen=True)
class Resources:
    """`settings` name the port that was bound. `tcp` and `unix` listen."""

    settings: Settings
    tcp: list[socket.socket]
    unix: socket.socket
    logs: Logs


def acquire_resources(settings: Settings, stack: contextlib.ExitStack) -> Resources:
    """Raises StartError, ListenError, AlreadyRunning. `stack` releases what was acquired, also after an error."""
    run = settings.home / "run"
    try:
        for folder in (settings.home, run, settings.home / "logs"):
            folder.mkdir(mode=0o700, parents=folder == settings.home, exist_ok=True)
    except OSError as error:
        reason = f"cannot make {error.filename}: {error.strerror}"
        raise StartError(f"{reason}; set MLX_SERVE_HOME to a folder of your own") from None
    server = settings.server
    tcp = []
    if server.port == 0:
        tcp = listen_tcp(server.host, 0)
        server = dataclasses.replace(server, port=tcp[0].getsockname()[1])
        settings = dataclasses.replace(settings, server=server)
    try:
        lock = PortLock.take(run, server.port)
    except OSError as error:
        raise StartError(f"cannot lock {run / str(server.port)}.lock: {error.strerror}") from None
    stack.callback(lock.release)
    tcp = tcp or listen_tcp(server.host, server.port)
    try:
        path = socket_path(settings.home, server.port)
        unix = bind(path)
    except SocketInUse as error:
        raise AlreadyRunning(server.port, error.pid) from None
    except SocketError as error:
        raise StartError(str(error)) from None
    stack.callback(remove, path, settings.home)
    return Resources(settings, tcp, unix, _start_logs(settings, stack))


def _start_logs(settings: Settings, stack: contextlib.ExitStack) -> Logs:
    logging = settings.logging
    style = cast(LineStyle, logging.format)
    path = log_path(settings.home, settings.server.port)
    try:
        started = logs.start(
            path, level=logging.level, style=style, secrets=settings.server.api_keys, stderr=logging.stderr
        )
    except OSError as error:
        raise StartError(f"cannot write the log {path}: {error.strerror}") from None
    stack.callback(started.close)
    return started
