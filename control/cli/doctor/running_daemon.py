"""The daemon that runs, or what would keep one from starting: its port and its control socket."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...socket import MAX_PATH, SocketError, alive, socket_folder
from .. import reachability
from ..client import ApiError, Client, ConnectionBroken, NoDaemon
from .finding import Finding

_SECONDS = 10.0


@dataclass(frozen=True)
class Running:
    """`status` is the daemon's own, `quarantined` its models that are not tried for a while, with the reasons,
    `ineffective` what does nothing of its settings of single models, likewise; `silent` says why one that
    listens does not answer. `answers`: whether it is ours at its address, None where nobody is. `bind`: why the port
    cannot be had, where no daemon runs. `folder`: what is wrong with the socket's folder."""

    home: str
    host: str
    port: int
    version: str
    status: dict[str, Any] | None = None
    quarantined: tuple[tuple[str, str], ...] = ()
    ineffective: tuple[tuple[str, str], ...] = ()
    silent: str | None = None
    answers: bool | None = True
    bind: str | None = None
    folder: str | None = None
    stale: str | None = None


def look(home: Path, path: Path, host: str, port: int, version: str) -> Running:
    folder, stale = _folder(home, path)
    try:
        client = Client(path, _SECONDS)
        status = client.get("/control/v1/status")
        rows = client.get("/control/v1/ps")["quarantined"]
        ineffective = client.get("/control/v1/config").get("ineffective", {})  # an older daemon has no such settings
    except NoDaemon:
        return Running(str(home), host, port, version, bind=_bind(host, port), folder=folder, stale=stale)
    except (ConnectionBroken, ApiError) as error:
        return Running(str(home), host, port, version, silent=str(error), folder=folder)
    quarantined = tuple((str(row["name"]), str(row["reason"])) for row in rows)
    answers = reachability.answers(str(status["url"]), str(status["instance"]))
    return Running(
        str(home), host, port, version, status, quarantined, tuple(ineffective.items()), answers=answers, folder=folder
    )


def judge(running: Running) -> list[Finding]:
    findings = []
    if running.folder is not None:
        remedy = f"set MLX_SERVE_HOME to a folder of your own whose path has at most {MAX_PATH - 16} bytes"
        findings.append(Finding("problem", "socket", running.folder, remedy))
    if running.silent is not None:
        text = f"a daemon listens on its socket and does not answer: {running.silent}"
        return [
            *findings,
            Finding("problem", "daemon", text, "mlx-serve logs says why; mlx-serve stop --force ends it"),
        ]
    if running.status is None:
        return [*findings, *_judge_stopped(running)]
    return [*findings, *_judge_running(running, running.status)]


def _judge_stopped(running: Running) -> list[Finding]:
    findings = []
    if running.stale is not None:
        text = f"{running.stale} is left of a daemon that has ended"
        findings.append(Finding("note", "socket", text, "nothing is to be done: the next start replaces it"))
    if running.bind is not None:
        remedy = f"end the program that has it (lsof -i :{running.port}), or mlx-serve start --port N"
        text = f"no daemon runs, and port {running.port} of {running.host} cannot be had: {running.bind}"
        return [*findings, Finding("problem", "port", text, remedy)]
    return [*findings, Finding("ok", "port", f"no daemon runs; port {running.port} of {running.host} is free")]


def _judge_running(running: Running, status: dict[str, Any]) -> list[Finding]:
    findings = [Finding("ok", "daemon", f"{status['version']} runs at {status['url']} (pid {status['pid']})")]
    if status["version"] != running.version:
        text = f"the daemon is version {status['version']}, and this command is {running.version}"
        findings.append(Finding("warning", "daemon", text, "mlx-serve stop, then mlx-serve start"))
    if running.answers is not True:
        who = "nobody" if running.answers is None else "another program"
        remedy = "end that program, or mlx-serve stop and mlx-serve start --port N"
        findings.append(Finding("problem", "port", f"{who} answers at {status['url']}", remedy))
    if status["draining"]:
        text = "the daemon is stopping"
        findings.append(Finding("note", "daemon", text, "mlx-serve start, once it has ended"))
    for name, reason in running.quarantined:
        text = f"{name} has failed repeatedly and is not tried for a while: {reason}"
        remedy = f"mlx-serve logs; mlx-serve verify {name}; mlx-serve load {name} tries at once"
        findings.append(Finding("warning", "model", text, remedy))
    for name, reason in running.ineffective:
        remedy = "mlx-serve list shows the names; correct it in the settings, then mlx-serve config --reload"
        findings.append(Finding("warning", "settings", f"models.settings.{name} {reason}", remedy))
    return findings


def _folder(home: Path, path: Path) -> tuple[str | None, str | None]:
    """What is wrong with the socket's folder, and a socket in it that nobody listens on."""
    try:
        folder = socket_folder(home)
    except SocketError as error:
        return str(error), None
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        return f"{folder} must be a folder, but it is a link or a file", None
    if folder.exists() and folder.stat().st_uid != os.geteuid():
        return f"{folder} belongs to another user", None
    if path.exists() and not path.is_socket():
        return f"{path} exists and is not a socket", None
    return None, str(path) if path.is_socket() and not alive(path) else None


def _bind(host: str, port: int) -> str | None:
    """Why a listener cannot be had at the address; it is closed at once. As the daemon, it may take over a port whose
    old connections are still closing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "another program has it"
            return error.strerror or str(error)
    return None
