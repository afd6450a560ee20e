"""service: the daemon as a service of launchd or systemd, which starts at login or at boot."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ...service import account, program
from ...service.description import Description
from ...service.manager import manager_of
from ...service.service_error import FileChanged, ServiceError
from .. import target
from ..arguments.usage_error import UsageError
from ..display.terminal import note
from ..session import CommandFailed, Session
from . import service_report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...service.manager import Manager

NOT_RUNNING = 3


def service(session: Session) -> int:
    action = session.options.action
    try:
        manager = manager_of(_description(session))
        if session.options.print:
            return _print_file(session, manager)
        manager.check()
        return _ACTIONS[action](session, manager)
    except FileChanged as error:
        note(error.difference.rstrip("\n"))
        what = "replace it" if action == "install" else "remove it"
        again = f"mlx-serve service {action} --force{' --boot' if session.options.boot else ''}"
        raise CommandFailed(str(error), f"keep it as it is, or {what} with: {again}") from None
    except ServiceError as error:
        raise CommandFailed(str(error), error.hint) from None


def _description(session: Session) -> Description:
    options = session.options
    if options.socket is not None:
        raise UsageError("service does not take --socket; name the service of one port with --port")
    if options.user and not options.boot:
        raise UsageError("--user is for --boot; a service without it is of the user who installs it")
    for flag in ("print", "force", "user"):
        allowed = ("install", "uninstall") if flag == "force" else ("install",)
        if getattr(options, flag) and options.action not in allowed:
            raise UsageError(f"--{flag} is for: mlx-serve service {' and '.join(allowed)}")
    port = options.port if options.port is not None else target.environment_port()
    owner = _owner(session, port)
    given = os.environ.get("MLX_SERVE_HOME")
    home = target.home() if given or not options.boot else owner.home
    environment = (("MLX_SERVE_HOME", str(home)),) if home != owner.home else ()
    return Description(program.command(port), home, port, owner.name if options.boot else "", environment)


def _owner(session: Session, port: int | None) -> account.Account:
    """Raises ServiceError, UsageError, CommandFailed."""
    options = session.options
    if not options.boot:
        if caller := account.behind_sudo():
            raise UsageError(f"with sudo this would be a service of root's; run it as {caller}, or add --boot")
        return account.current()
    if options.action in ("install", "uninstall") and os.geteuid() != 0 and not options.print:
        raise CommandFailed("a service of the whole system is installed by root", f"run: sudo {_again()}")
    if options.user:
        return account.named(options.user)
    any_account = Description(program.command(port), Path("/"), port, "root")
    if installed := manager_of(any_account).installed_account():
        return account.named(installed)
    if os.geteuid() != 0 or options.action != "install":
        return account.current()
    if caller := account.behind_sudo():
        return account.named(caller)
    raise UsageError("--boot: name the account that the daemon runs as with --user NAME")


def _again() -> str:
    """This command line, for a shell whose PATH is another one."""
    program = Path(sys.argv[0]).absolute()
    words = [str(program)] if os.access(program, os.X_OK) else [sys.executable, "-m", "mlx_serve"]
    return " ".join([*words, *sys.argv[1:]])


def _print_file(session: Session, manager: Manager) -> int:
    text = manager.file.wanted.decode()
    if session.json:
        session.print_json({"file": str(manager.file.path), "content": text})
    else:
        sys.stdout.write(text)
    return 0


def _install(session: Session, manager: Manager) -> int:
    """Afterwards the file is as this version writes it, and the service is enabled and runs by it."""
    if not session.options.force:
        manager.file.refuse_if_changed()
    changed = manager.file.write()
    before = manager.state()
    if changed or not before.loaded or service_report.version(manager, before) not in (None, _own_version()):
        if before.active:
            manager.stop()
        manager.load()
    if not manager.state().enabled:
        manager.enable()
    manager.start()
    found = service_report.wait_until_ready(manager)
    _mention_variables()
    if advice := manager.advice():
        note(advice)
    done = "installed" if changed else "is installed already"
    return _report(session, manager, f"{manager.name} {done}: {manager.file.path}\n{_ready(found)}")


def _uninstall(session: Session, manager: Manager) -> int:
    there = manager.file.state() != "absent"
    if not session.options.force:
        manager.file.refuse_if_changed()
    if there or manager.state().active:
        manager.unload()
        manager.file.remove()
        manager.forget()
    return _report(session, manager, f"removed {manager.file.path}" if there else f"{manager.name} is not installed")


def _start(session: Session, manager: Manager) -> int:
    _require(manager)
    manager.start()
    return _report(session, manager, _ready(service_report.wait_until_ready(manager)))


def _stop(session: Session, manager: Manager) -> int:
    _require(manager)
    active = manager.state().active
    manager.stop()
    return _report(session, manager, f"{'stopped' if active else 'does not run:'} {manager.name}")


def _enable(session: Session, manager: Manager) -> int:
    _require(manager)
    manager.enable()
    return _report(session, manager, f"{manager.name} starts at {service_report.moment(manager)}")


def _disable(session: Session, manager: Manager) -> int:
    _require(manager)
    manager.disable()
    return _report(
        session, manager, f"{manager.name} no longer starts at {service_report.moment(manager)}; a running one goes on"
    )


def _status(session: Session, manager: Manager) -> int:
    document = service_report.document(manager)
    if session.json:
        session.print_json(document)
    else:
        print(service_report.overview(manager, document))
    return 0 if document["active"] else NOT_RUNNING


_ACTIONS = {
    "install": _install,
    "uninstall": _uninstall,
    "start": _start,
    "stop": _stop,
    "status": _status,
    "enable": _enable,
    "disable": _disable,
}


def _require(manager: Manager) -> None:
    if manager.file.state() == "absent":
        boot = " --boot" if manager.description.boot else ""
        raise CommandFailed(f"{manager.name} is not installed", f"install it with: mlx-serve service install{boot}")


def _report(session: Session, manager: Manager, text: str) -> int:
    if session.json:
        session.print_json(service_report.document(manager))
    else:
        print(text)
    return 0


def _ready(found: Any) -> str:
    return f"mlx-serve is ready at {found['url']} (pid {found['pid']})"


def _own_version() -> str:
    from .... import __version__

    return __version__


def _mention_variables() -> None:
    """A service has none of the shell's variables."""
    own = ("MLX_SERVE_HOME", "MLX_SERVE_PORT", "MLX_SERVE_SERVER_PORT", "MLX_SERVE_NO_AUTOSTART", "MLX_SERVE_DEBUG")
    names = [name for name in os.environ if name.startswith("MLX_SERVE_") and name not in own]
    names += [name for name in os.environ if name.startswith("HF_") or name.lower() in ("http_proxy", "https_proxy")]
    if names:
        listed = ", ".join(sorted(names))
        note(f"the service has no variables of this shell; put into the settings file what it needs of {listed}")
