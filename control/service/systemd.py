"""Asks systemd, the user's own or the system's, to run the service."""

from __future__ import annotations

import os
from pathlib import Path

from . import account, systemd_unit, tool
from .description import Description, State
from .service_error import ServiceError
from .tool import Outcome
from .unit_file import UnitFile

_SYSTEM = Path("/etc/systemd/system")
_MODPROBE = Path("/usr/bin/nvidia-modprobe")
_ACTIVE = ("active", "activating", "reloading", "deactivating")
_LINES = "50"


class Systemd:
    """One service of the manager that `description.boot` names. `folder` is where its unit is, unless the usual
    place."""

    kind = "systemd"

    def __init__(self, description: Description, folder: Path | None = None) -> None:
        self.description = description
        self.name = f"{description.name}.service"
        self._scope = () if description.boot else ("--user",)
        # The device files of CUDA appear when this program has run; a daemon without new rights cannot run it.
        before = (str(_MODPROBE), "-u", "-c", "0") if description.boot and _MODPROBE.exists() else ()
        unit = systemd_unit.unit(description, before=before)
        self.file = UnitFile((folder or _folder(description)) / self.name, unit)

    @property
    def logs(self) -> str:
        return " ".join(("journalctl", *self._scope, "-u", self.name))

    def check(self) -> None:
        self._do("show", "--property=Version")

    def state(self) -> State:
        wanted = "LoadState,ActiveState,SubState,UnitFileState,MainPID,ExecMainCode,ExecMainStatus"
        found = self._do("show", f"--property={wanted}", self.name)
        values = dict(line.split("=", 1) for line in found.output.splitlines() if "=" in line)
        pid, status = values.get("MainPID", "0"), values.get("ExecMainStatus", "")
        # One that failed and waits for its next try does not run.
        active = values.get("ActiveState") in _ACTIVE and values.get("SubState") != "auto-restart"
        ended = values.get("ExecMainCode") == "1" and not active  # CLD_EXITED
        return State(
            loaded=values.get("LoadState") == "loaded",
            enabled=values.get("UnitFileState") == "enabled",
            active=active,
            pid=int(pid) if pid.isdigit() and pid != "0" else None,
            exit_status=int(status) if ended and status.isdigit() else None,
        )

    def installed_account(self) -> str | None:
        found = self.file.read()
        return None if found is None else systemd_unit.account(found)

    def load(self) -> None:
        self._do("daemon-reload")

    def unload(self) -> None:
        self._do("disable", "--now", self.name, seconds=tool.STOP_SECONDS)

    def forget(self) -> None:
        """A failure that was remembered goes too."""
        self._do("daemon-reload")
        self._clear()

    def _clear(self) -> None:
        """Fails where nothing was remembered."""
        tool.call("systemctl", *self._scope, "reset-failed", self.name)

    def enable(self) -> None:
        self._do("enable", self.name)

    def disable(self) -> None:
        self._do("disable", self.name)

    def start(self) -> None:
        """systemctl returns when the daemon has said that it is ready, or has ended. After five starts in as many
        minutes systemd would refuse the next one; a person may try as often as they like."""
        self._clear()
        done = tool.call("systemctl", *self._scope, "start", self.name, seconds=tool.START_SECONDS)
        if done.code != 0 and not done.error.startswith("Job for "):
            raise self._failure("start", done)

    def stop(self) -> None:
        self._do("stop", self.name, seconds=tool.STOP_SECONDS)

    def last_words(self) -> str | None:
        words = (*self._scope, "-u", self.name, "-n", _LINES, "-o", "cat", "--no-pager", "--quiet")
        try:
            return tool.sentence(tool.call("journalctl", *words).output)
        except ServiceError:  # a systemd without its journal
            return None

    def advice(self) -> str | None:
        """Whether the service outlives the login."""
        if self.description.boot:
            return None
        user = account.current().name
        try:
            found = tool.call("loginctl", "show-user", user, "--property=Linger", "--value")
        except ServiceError:  # a systemd without logind: there is no logout either
            return None
        if found.code == 0 and found.output.strip() == "yes":
            return None
        return (
            f"it runs while {user} is logged in; to have it start at boot and outlive the logout: "
            f"loginctl enable-linger {user}"
        )

    def _do(self, *words: str, seconds: float = tool.QUICK_SECONDS) -> Outcome:
        done = tool.call("systemctl", *self._scope, *words, seconds=seconds)
        if done.code != 0:
            raise self._failure(words[0], done)
        return done

    def _failure(self, verb: str, done: Outcome) -> ServiceError:
        text = done.error.lower()
        if ("connect to" in text and "bus" in text) or "xdg_runtime_dir" in text or "not been booted with" in text:
            return self._unreachable(done)
        if "access denied" in text or "authentication" in text:
            return ServiceError(f"systemd refuses ({done.last})", "run the same command with sudo")
        return ServiceError(f"systemctl {verb} failed ({done.last})", f"see: {self.logs}")

    def _unreachable(self, done: Outcome) -> ServiceError:
        if not Path("/run/systemd/system").is_dir():  # sd_booted(3)
            return ServiceError("this system does not run systemd", "run the daemon with: mlx-serve start")
        if self.description.boot:
            return ServiceError(f"the system's systemd cannot be reached ({done.last})", "see: systemctl status")
        user = account.current().name
        return ServiceError(
            f"the systemd of this user cannot be reached ({done.last})",
            f"log in as {user} (not by su or sudo), or let its systemd run without a login: "
            f"sudo loginctl enable-linger {user}; or install for the whole system, with sudo and --boot",
        )


def _folder(description: Description) -> Path:
    if description.boot:
        return _SYSTEM
    given = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(given) if given.startswith("/") else Path("~/.config").expanduser()) / "systemd" / "user"
