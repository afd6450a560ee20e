"""start, status, stop, version."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

from ...socket import alive
from .. import firewall, launch, reachability, target
from ..arguments.usage_error import UsageError
from ..client import ApiError, Client, ConnectionBroken, NoDaemon
from ..display.tables import size, span, table
from ..display.terminal import note
from ..process_end import ProcessEnd
from ..session import CommandFailed, Session
from ..target import Target
from .memory import loaded_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_ANSWER_SECONDS = 5.0
_SLACK_SECONDS = 15.0
_KILL_SECONDS = 5.0


def start(session: Session) -> int:
    if session.options.foreground:
        return _start_here(session)
    wanted = _start_target(session)
    running = launch.status(wanted) if alive(wanted.socket) else None
    if running is not None:
        return _report_running(session, launch.AlreadyRunning(running))
    _check_machine()
    try:
        found = launch.start(wanted, _flags(session))
    except launch.AlreadyRunning as error:
        return _report_running(session, error)
    _check_address(found)
    if about := firewall.explanation(found):
        note(about)
    if session.json:
        session.print_json(found)
    else:
        print(f"mlx-serve is ready at {found['url']} (pid {found['pid']})")
    return 0


def _start_here(session: Session) -> NoReturn:
    """The daemon in place of this process, whose exit status says what was wrong (`daemon.main`): a service manager
    tells by it whether to try again."""
    _refuse_socket(session)
    _check_machine()
    command = launch.command(_flags(session))
    sys.stdout.flush()
    os.execv(command[0], command)


def _check_machine() -> None:
    """Raises CommandFailed where MLX cannot run."""
    from .... import machine

    if reason := machine.problem():
        raise CommandFailed(f"mlx-serve cannot run here: {reason}")


def _check_address(found: Any) -> None:
    """No address is printed at which another program answers. Raises CommandFailed."""
    url, port, instance = found["url"], found["port"], found["instance"]
    if reachability.answers(url, instance) is False:
        raise CommandFailed(
            f"the daemon runs (pid {found['pid']}), but another program answers at {url}",
            f"end that program, or choose another port: mlx-serve stop --port {port}; mlx-serve start --port N",
        )
    only_ipv4 = found["host"] in ("0.0.0.0", "127.0.0.1")
    if only_ipv4 and reachability.answers(f"http://[::1]:{port}", instance) is False:
        note(f"another program answers at http://localhost:{port} over IPv6; use {url}")


def _report_running(session: Session, error: launch.AlreadyRunning) -> int:
    _check_address(error.found)
    if session.json:
        session.print_json(error.found)
    print(f"mlx-serve: {error}", file=sys.stderr)
    return os.EX_TEMPFAIL


def _start_target(session: Session) -> Target:
    """Unlike for the other commands, the default is the configured port and not the only running daemon."""
    options = session.options
    _refuse_socket(session)
    named = options.port if options.port is not None else target.environment_port()
    directory = target.home()
    return Target(directory, named if named is not None else target.configured_port(directory, options.config))


def _refuse_socket(session: Session) -> None:
    if session.options.socket is not None:
        raise UsageError("start does not take --socket: the socket's path comes from MLX_SERVE_HOME and the port")


def _flags(session: Session) -> list[str]:
    """The daemon's flags, which have the same names; paths are absolute, because it runs in another folder."""
    options = session.options
    flags = [] if options.port is None else ["--port", str(options.port)]
    for flag, value in (("--host", options.host), ("--log-level", options.log_level)):
        if value is not None:
            flags += [flag, value]
    for flag, value in (("--config", options.config), ("--models-dir", options.models_dir)):
        if value is not None:
            flags += [flag, str(Path(value).expanduser().absolute())]
    for name in options.preload:
        flags += ["--preload", name]
    return flags


def status(session: Session) -> int:
    found = session.client().get(launch.STATUS)
    if session.json:
        session.print_json(found)
        return 0
    memory, queue = found["memory"], found["queue"]
    models = found["models"]
    state = "is stopping" if found["draining"] else "is running"
    print(f"mlx-serve {found['version']} {state} at {found['url']}")
    rows = [
        ("process", f"pid {found['pid']}, up {span(found['uptime_seconds'])}"),
        ("listens on", f"{found['host']} port {found['port']}, {found['socket']}"),
        ("memory", f"{size(memory['daemon'])}, and {size(memory['children'])} in {_processes(memory['processes'])}"),
        *_memory_notes(found),
        ("queue", f"{queue['running']} running, {queue['waiting']} waiting (at most {queue['limit']})"),
        ("models", f"{len(models)} loaded, {found['installed']} installed in {found['models_directory']}"),
        ("log", found["log"]),
    ]
    if reachability.answers(found["url"], found["instance"]) is False:
        rows.insert(
            2, ("", f"another program answers at {found['url']}; restart with another --port, or end that program")
        )
    widest = max(len(name) for name, _ in rows)
    print("\n".join(f"  {name.ljust(widest)}    {value}" for name, value in rows))
    if models:
        print(f"\n{loaded_table(models)}")
    return 0


def _memory_notes(found: dict[str, Any]) -> list[tuple[str, str]]:
    """What is not as usual: the machine is short of memory, or its owner has moved the GPU's limit."""
    notes = []
    if found["memory_pressure"] != "normal":
        notes.append(("", f"the machine is short of memory ({found['memory_pressure']}): idle models may be unloaded"))
    if found["gpu_limit"]:
        notes.append(("", f"iogpu.wired_limit_mb allows the GPU {size(found['gpu_limit'])}"))
    return notes


def _processes(count: int) -> str:
    return f"{count} child process{'' if count == 1 else 'es'}"


def stop(session: Session) -> int:
    force = bool(session.options.force)
    sockets = target.running_sockets(target.home()) if session.options.all else [session.target.socket]
    if not sockets:
        raise CommandFailed("no daemon of this home is running")
    for path in sockets:
        pid = _stop_one(Client(path, _ANSWER_SECONDS), force)
        if session.json:
            session.print_json({"status": "stopped", "pid": pid})
        else:
            print(f"stopped mlx-serve (pid {pid})")
    return 0


def _stop_one(client: Client, force: bool) -> int:
    """The pid of the process that has ended. Raises NoDaemon, CommandFailed."""
    pid = client.pid()
    if pid is None:  # the system does not tell who is at the other end of a socket
        pid = int(client.get(launch.STATUS)["pid"])
    with ProcessEnd(pid, _lock(client.path)) as end:
        _stop_process(client, end, force)
    return pid


def _lock(socket: Path) -> Path | None:
    """The lock of the daemon whose socket this is, wherever the socket lies."""
    return target.home() / "run" / f"{socket.stem}.lock" if socket.stem.isdigit() else None


def _stop_process(client: Client, end: ProcessEnd, force: bool) -> None:
    """Raises NoDaemon, CommandFailed."""
    drain = 0.0
    try:
        found = client.get(launch.STATUS)
        drain = found["drain_seconds"]
        if not force and (found["queue"]["running"] or found["queue"]["waiting"]):
            note("waiting for running requests (stop --force cancels them)")
        client.post("/control/v1/shutdown", {"force": force})
    except (ConnectionBroken, ApiError) as error:
        # It no longer answers: it is stopping already, or stuck. Only --force may kill it.
        if not force:
            if end.wait(_ANSWER_SECONDS):
                return
            raise CommandFailed(
                f"the daemon does not answer ({error})", "end it with: mlx-serve stop --force"
            ) from error
    if not end.wait(_KILL_SECONDS if force else drain + _SLACK_SECONDS):
        if not force:
            raise CommandFailed(f"the daemon (pid {end.pid}) is still running", "end it with: mlx-serve stop --force")
        with contextlib.suppress(ProcessLookupError):
            os.kill(end.pid, signal.SIGKILL)
        if not end.wait(_KILL_SECONDS):
            raise CommandFailed(f"the daemon (pid {end.pid}) does not end, although it was killed")


def version(session: Session) -> int:
    from .... import __version__

    daemon: Any = None
    try:
        daemon = session.client(_ANSWER_SECONDS).get(launch.STATUS)["version"]
    except (NoDaemon, ConnectionBroken, ApiError):
        daemon = None
    if session.json:
        session.print_json({"version": __version__, "daemon": daemon})
    else:
        print(table(("mlx-serve", __version__), [("daemon", daemon or "not running")]))
        if daemon not in (None, __version__):
            note("the daemon has another version; restart it with: mlx-serve stop, mlx-serve start")
    return 0
